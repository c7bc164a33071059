"""Read-only questions to the ConsentRegistry, each at a block of the caller's choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from contracts.artifact import verify_runtime_code
from contracts.bindings import consent_registry as abi
from contracts.errors import CodeMismatch, ContractsError
from keys import messages as m
from keys.errors import KeysError
from keys.ids import stream_id
from node.ledger.answers import ask
from node.ledger.errors import RegistryMismatch, RpcGarbled, RpcRefused
from node.ledger.reader import At, ChainReader
from node.types import ADDRESS_BYTES, address_to_text

__all__ = ["RegistryViews"]

_NOBODY = bytes(ADDRESS_BYTES)
T = TypeVar("T")


class RegistryViews:
    """The views of one registry. ``at`` is a height, a block hash or a tag. All raise RpcError."""

    def __init__(self, reader: ChainReader, address: bytes, chain_id: int, start_block: int = 0) -> None:
        self.address = address
        self._start_block = start_block
        self._reader = reader
        self._chain_id = chain_id

    async def check(self) -> None:
        """Compare the code at the address, its EIP-5267 domain and a digest with this version. Raises RegistryMismatch.

        The code is compared without its immutables. They hold the domain separator, so that a registry could verify
        signatures for a domain other than the one it tells: a digest that it computes shows which one it really uses.
        """
        where = address_to_text(self.address)
        try:
            verify_runtime_code(await self._reader.code(self.address))
        except CodeMismatch as error:
            raise RegistryMismatch(f"{where} on chain {self._chain_id}: {error}") from error
        try:
            domain = await self.domain()
        except (KeysError, RpcRefused) as error:
            raise RegistryMismatch(f"{where} on chain {self._chain_id} tells no domain: {error}") from error
        if domain != m.registry_domain(self._chain_id, self.address):
            raise RegistryMismatch(f"{where} on chain {self._chain_id} signs for another domain: {domain}")
        probe = m.StreamCommit(b"\x01" * 32, 1, b"\x02" * 32)
        data = abi.encode_digest_of(abi.encode_commit(probe, b""))
        if await self._ask(data, abi.decode_digest_of) != m.digest(probe, domain):
            raise RegistryMismatch(f"{where} on chain {self._chain_id} verifies for a domain it does not tell")

    async def domain(self) -> m.Domain:
        """Return the EIP-712 domain that the contract tells (EIP-5267). Raises MessageError for an impossible one."""
        answer = await self._ask(abi.encode_eip712_domain(), abi.decode_eip712_domain)
        _, name, version, chain_id, contract, _, _ = answer
        return m.Domain(name, version, chain_id, contract)

    async def stream(self, sid: bytes, *, at: At = "latest") -> abi.Stream | None:
        """Return the stream's state, None when it is not registered."""
        found = await self._ask(abi.encode_streams(sid), abi.decode_streams, at)
        return None if found.owner == _NOBODY else found

    async def grant_entry(self, grant_id: bytes, sid: bytes, *, at: At = "latest") -> abi.Entry | None:
        """Return what stands for one stream of a grant, None when nothing does."""
        data = abi.encode_grant_of(grant_id, sid)
        found = await self._ask(data, abi.decode_grant_of, at)
        return None if found.reader == _NOBODY else found

    async def is_live(self, grant_id: bytes, sid: bytes, time: int, *, at: At = "latest") -> bool:
        """Tell whether the grant lets its reader read the slot at ``time`` (seconds UTC)."""
        return await self._ask(abi.encode_is_live(grant_id, sid, time), abi.decode_is_live, at)

    async def is_voided(self, account: bytes, grant_id: bytes, sid: bytes, *, at: At = "latest") -> bool:
        """Tell whether ``account`` revoked the grant for this stream, or for all of them (sid zero)."""
        data = abi.encode_is_voided(account, grant_id, sid)
        return await self._ask(data, abi.decode_is_voided, at)

    async def pairing(self, device_hash: bytes, *, at: At = "latest") -> abi.Pairing | None:
        """Return the two sides of a pairing, None when there is none."""
        data = abi.encode_pairing_of(device_hash)
        found = await self._ask(data, abi.decode_pairing_of, at)
        return None if found.owner == _NOBODY else found

    async def nonce_used(self, account: bytes, nonce: int, *, at: At = "latest") -> bool:
        """Tell whether the account used this message nonce."""
        data = abi.encode_nonce_used(account, nonce)
        return await self._ask(data, abi.decode_nonce_used, at)

    async def has_effect(self, message: m.Message, digest: bytes, *, at: At = "latest") -> bool:
        """Tell whether the registry shows this message's effect, so that sending it again would change nothing.

        Never True for a message that did not arrive. It may be False for one that did and was overtaken since (a grant
        revoked again, a commit with newer ones on top): the caller then learns the contract's own reason.
        """
        match message:
            case m.Grant():
                return bool(message.sids) and await self.grant_entry(digest, message.sids[0], at=at) is not None
            case m.Revoke():
                return await self.is_voided(message.account, message.grant_id, message.sid, at=at)
            case m.PairDevice():
                pairing = await self.pairing(message.device_hash, at=at)
                return pairing is not None and pairing.owner == message.owner
            case m.StreamCommit():
                stream = await self.stream(message.sid, at=at)
                return stream is not None and stream.epoch >= message.epoch and await self._commit_logged(message)
            case _:
                return await self._nonce_and_state(message, at)

    async def _commit_logged(self, message: m.StreamCommit) -> bool:
        """The state holds the epoch only; which commit had it stands in the event."""
        head = await self._reader.head()
        topics = (abi.Committed.TOPIC, message.sid)
        try:
            logs = await self._reader.logs([self.address], self._start_block, head.number, topics)
        except RpcRefused:  # the endpoint does not search that far
            return False
        wanted = abi.Committed(message.sid, message.epoch, message.commit_hash)
        try:
            return any(abi.decode_log(log.topics, log.data) == wanted for log in logs)
        except ContractsError as error:
            raise RpcGarbled(f"a log of the registry does not parse: {error}") from error

    async def _nonce_and_state(self, message: m.Message, at: At) -> bool:
        """For messages whose state alone could come from an equal earlier one: the nonce must be used as well."""
        match message:
            case m.RegisterStream():
                sid = stream_id(self._chain_id, self.address, message.owner, message.name_hash)
                stream = await self.stream(sid, at=at)
                same = stream is not None and (stream.genesis, stream.slot_seconds) == (
                    message.genesis,
                    message.slot_seconds,
                )
                account = message.owner
            case m.SetWriter():
                stream = await self.stream(message.sid, at=at)
                same = stream is not None and (stream.writer, stream.stream_key_hash) == (
                    message.writer,
                    message.stream_key_hash,
                )
                account = message.owner
            case m.TransferStream():
                stream = await self.stream(message.sid, at=at)
                same, account = stream is not None and stream.owner == message.new_owner, message.owner
            case m.UnpairDevice():
                same, account = await self.pairing(message.device_hash, at=at) is None, message.account
            case _:
                return False
        return same and await self.nonce_used(account, message.nonce, at=at)

    async def _ask(self, data: bytes, decode: Callable[[bytes], T], at: At = "latest") -> T:
        return await ask(self._reader, self.address, data, decode, "the registry", at=at)
