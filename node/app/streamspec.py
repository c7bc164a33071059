"""The streams that this gateway writes for its owner: names, keys, parameters, all from identity and config."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from channels.masters import Masters
from channels.slots import StreamParams
from keys.errors import EntryMissing
from keys.messages import Domain, RegisterStream
from keys.signers import LocalSigner
from keys.stream_key import StreamKey
from node.app.core import Core
from node.projection.device import Device

__all__ = ["StreamSpec", "load_masters", "stream_id", "stream_spec"]

OFFER_VALID_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream: `salt` and `category` make its name; `params` are what the chain will say."""

    category: str
    owner: bytes
    salt: bytes
    name_hash: bytes
    params: StreamParams
    writer: LocalSigner
    stream_key: StreamKey

    @property
    def sid(self) -> bytes:
        return self.params.sid

    def register(self, nonce: int, now: int) -> RegisterStream:
        """The message that owner and writer sign."""
        return RegisterStream(
            owner=self.owner,
            name_hash=self.name_hash,
            writer=self.writer.address,
            stream_key_hash=self.stream_key.key_hash(),
            genesis=self.params.genesis,
            slot_seconds=self.params.slot_seconds,
            nonce=nonce,
            deadline=now + OFFER_VALID_SECONDS,
        )


def stream_id(domain: Domain, owner: bytes, name_hash: bytes) -> bytes:
    """channels.md 1: `keccak256(abi.encode(chainId, registry, owner, nameHash))`."""
    fields = [domain.chain_id, domain.verifying_contract, owner, name_hash]
    return bytes(keccak(encode(["uint256", "address", "address", "bytes32"], fields)))


def stream_spec(core: Core, category: str, pairing: Device, genesis: int) -> StreamSpec:
    """The stream of a category under a pairing; the same on every call, so that nothing of it must be remembered.

    A pairing that ended took its streams' writer with it, so the next pairing begins new streams.
    """
    identity, settings = core.keys.identity, core.settings.streams
    owner, label = pairing.owner, f"{category}/{pairing.device_hash.hex()}"
    salt = identity.secret(f"stream-salt/{label}")
    name_hash = bytes(keccak(salt + category.encode()))
    writer, stream_key = identity.writer(label), identity.stream_key(label)
    domain = core.chain.domain
    params = StreamParams(
        sid=stream_id(domain, owner, name_hash),
        genesis=genesis,
        slot_seconds=settings.slot_seconds,
        domain=domain,
        writer=writer.address,
        stream_public=stream_key.public_bytes,
    )
    return StreamSpec(category, owner, salt, name_hash, params, writer, stream_key)


def load_masters(core: Core, sid: bytes, fresh: bytes) -> Masters:
    """M and T of a stream from the keystore; `fresh` (64 random bytes) becomes them at the first call."""
    keystore, name = core.keys.keystore, f"masters-{sid.hex()}"
    try:
        found = keystore.get(name)
    except EntryMissing:
        found = Masters.from_keys(sid, fresh[:32], fresh[32:]).to_bytes()
        keystore.put(name, "masters", found)
    return Masters.from_bytes(found)
