"""The relay: takes messages that wallets signed, asks the registry what it would say, and sends them. Idempotent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from keys import messages as m
from keys.eip712 import Domain
from keys.errors import KeysError, SignatureError
from node.errors import ChainUnreachable
from node.ledger.errors import MessageMalformed, MessageRefused, RpcRefused
from node.ledger.faces import Faces
from node.ledger.gas import known_gas
from node.ledger.ports import BudgetKeeper
from node.ledger.registry import registry_call, registry_item, registry_reason, registry_signers
from node.ledger.reverts import ErrorDecoder, reason_of
from node.ledger.rpc import Rpc
from node.ledger.sender import Sender
from node.ledger.transaction import Call, Transaction, TxState
from node.ledger.views import RegistryViews

__all__ = ["Relay", "Relayed"]


@dataclass(frozen=True, slots=True)
class Relayed:
    """What became of a message: its digest, and its transaction or None when the registry had its effect before."""

    digest: bytes
    transaction: Transaction | None

    @property
    def already(self) -> bool:
        """Tell whether nothing had to be sent."""
        return self.transaction is None


class Relay:
    """Relays messages of the registry and of the contracts in ``faces`` through one sender.

    ``budget`` is asked about what others bring (`accept`, `relay_document`), not about this node's own words; without
    it everybody is served without limit.
    """

    def __init__(
        self,
        rpc: Rpc,
        sender: Sender,
        registry: RegistryViews,
        budget: BudgetKeeper | None = None,
        faces: Faces | None = None,
    ) -> None:
        self.domain = m.registry_domain(rpc.chain_id, registry.address)
        self.faces = faces or Faces()
        self._rpc = rpc
        self._sender = sender
        self._views = registry
        self._budget = budget

    async def relay_document(
        self, document: object, signatures: Sequence[bytes], opening: Sequence[bytes] = ()
    ) -> Relayed:
        """Relay a message from its EIP-712 JSON. Raises MessageMalformed also for another chain or contract."""
        try:
            message, domain = m.from_typed_data(document)
        except KeysError as error:
            raise MessageMalformed(str(error)) from error
        return await self._relay(message, signatures, opening, domain, counted=True)

    async def relay(
        self,
        message: m.Message,
        signatures: Sequence[bytes],
        opening: Sequence[m.Opening] = (),
        domain: Domain | None = None,
    ) -> Relayed:
        """Put a signed message on chain; a second call with the same message finds the first.

        ``signatures`` and ``opening`` as the contract's function takes them; ``domain`` is the registry's by default.
        Raises MessageMalformed, MessageRefused (with the contract's decoded reason), RpcError. Returns when the
        transaction is queued durably; await `Sender.wait(digest)` for more.
        """
        return await self._relay(message, signatures, opening, domain or self.domain, counted=False)

    async def _relay(
        self,
        message: m.Message,
        signatures: Sequence[bytes],
        opening: Sequence[m.Opening],
        wanted: Domain,
        *,
        counted: bool,
    ) -> Relayed:
        """`counted`: against the budget of its signer, whose it is once the contract has been asked."""
        call, reason = self._call(message, signatures, opening, wanted)
        digest = m.digest(message, wanted)
        known = await self._sender.find(digest)
        if known is not None and known.state is not TxState.REFUSED:
            # Open, it may be so in the store alone.
            return Relayed(digest, known if known.finished else await self._sender.submit(digest, call))
        if wanted == self.domain and await self._views.has_effect(message, digest):
            return Relayed(digest, None)
        await self._simulate(digest, call, reason)
        if counted:
            await self._spend(message, signatures, wanted)
        if wanted == self.domain and self._keys_signed(message, signatures, opening, digest):
            call = replace(call, known_gas=known_gas(message))
        return Relayed(digest, await self._sender.submit(digest, call, again=True))

    async def share(
        self, message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening], domain: Domain
    ) -> Relayed:
        """Take a message of a contract beside the registry to be sent together with others, where its kind is; else
        relay it. The caller has checked it; the contract is asked when the batch is made. Raises as `relay` does.
        """
        face = self.faces.of(domain, message)
        if face is None or type(message) not in face.shared:
            return await self.relay(message, signatures, opening, domain)
        call, _ = self._call(message, signatures, opening, domain)
        item = face.item(message, signatures) if face.item is not None else b""
        call = replace(call, known_gas=known_gas(message), item=item)
        digest = m.digest(message, domain)
        return Relayed(digest, await self._sender.submit(digest, call, again=True, state=TxState.GATHERED))

    async def vouch(self, message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening] = ()) -> None:
        """Raises MessageRefused for a registry message that its account did not sign, or that the registry does not
        take. A key's signature is checked here; that of a contract wallet only where the chain can be asked."""
        call, reason = self._call(message, signatures, opening, self.domain)
        digest = m.digest(message, self.domain)
        if self._keys_signed(message, signatures, opening, digest):
            return
        with suppress(ChainUnreachable):
            await self._simulate(digest, call, reason)

    async def accept(
        self, message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening] = ()
    ) -> Relayed:
        """Take a registry message to be sent together with others; a second call with the same message finds the first.

        The signatures are checked here and the message is on disk when this returns; the contract is asked when its
        batch is made, and `Sender.wait(digest)` tells what became of it. A message that a contract wallet signed is
        relayed alone, since only the chain can check it. Raises as `relay` does, and RelayBudgetSpent or Refused.
        """
        call, _ = self._call(message, signatures, opening, self.domain)
        digest = m.digest(message, self.domain)
        known = self._sender.keeper.book.get(digest)
        if known is not None:
            return Relayed(digest, known)
        if not self._keys_signed(message, signatures, opening, digest):
            return await self._relay(message, signatures, opening, self.domain, counted=True)
        await self._spend(message, signatures, self.domain)
        call = replace(call, known_gas=known_gas(message), item=registry_item(call, message, signatures))
        return Relayed(digest, await self._sender.submit(digest, call, again=True, state=TxState.GATHERED))

    async def _spend(self, message: m.Message, signatures: Sequence[bytes], domain: Domain) -> None:
        """One message of the signer's day; a message that is known here costs nothing."""
        digest = m.digest(message, domain)
        if self._budget is not None and self._sender.keeper.book.get(digest) is None:
            await self._budget.spend(self._signer(message, signatures, domain), type(message).__name__, digest)

    @staticmethod
    def _keys_signed(
        message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening], digest: bytes
    ) -> bool:
        """Tell whether each signature was made by the key of the account that must sign."""
        try:
            return all(
                wanted in (None, found)
                for wanted, found in zip(
                    registry_signers(message, opening),
                    [m.recover_digest(digest, signature) for signature in signatures],
                    strict=True,
                )
            )
        except SignatureError:
            return False

    def _call(
        self, message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening], domain: Domain
    ) -> tuple[Call, ErrorDecoder]:
        if domain == self.domain:
            call = registry_call(self._views.address, message, signatures, opening, self._sender.address)
            return call, registry_reason
        face = self.faces.of(domain, message)
        if face is None:
            raise MessageMalformed("the message is for another chain or contract than this relay serves")
        return face.call(face.address, message, signatures, opening), face.reason

    async def _simulate(self, digest: bytes, call: Call, decode: ErrorDecoder) -> None:
        """Run the call first, on top of what this sender has out: a stream and its first grant may follow at once."""
        at = "pending" if self._sender.waiting else "latest"
        try:
            await self._rpc.call(call.to, call.data, sender=self._sender.address, at=at)
        except RpcRefused as refusal:
            reason = reason_of(refusal, decode)
            if reason is None:
                raise
            raise MessageRefused(digest, reason.name, reason.arguments, reason.notice) from refusal

    def _signer(self, message: m.Message, signatures: Sequence[bytes], domain: Domain) -> bytes:
        """Return who pays with budget: the account that the message names, else the one that signed."""
        for name in ("owner", "account", "reader"):
            named = getattr(message, name, None)
            if isinstance(named, bytes):
                return named
        if not signatures[0]:
            return self._sender.address
        try:
            return m.recover(message, domain, signatures[0])
        except KeysError as error:
            raise MessageMalformed(str(error)) from error
