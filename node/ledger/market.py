"""The Market as the ledger uses it: logs become events, messages become calls, and its views."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import TypeVar

from contracts.bindings import dev_token
from contracts.bindings import market as abi
from contracts.errors import ContractsError, MalformedData
from keys import messages as m
from keys.eip712 import Domain
from keys.errors import KeysError
from node.ledger.errors import MessageMalformed, RpcGarbled
from node.ledger.faces import Face
from node.ledger.reader import At, ChainReader
from node.ledger.reverts import Reason, reason_from
from node.ledger.transaction import Call
from node.ledger.wire import RawLog
from node.projection import settlement_events as s
from node.projection.base import Block, ChainEvent

__all__ = ["MarketDecoder", "MarketViews", "Money", "market_call", "market_face", "opened"]

T = TypeVar("T")

_EVENTS: Mapping[type, type[ChainEvent]] = MappingProxyType(
    {
        abi.Matched: s.LoggedMatched,
        abi.OrderCancelled: s.LoggedOrderCancelled,
        abi.ContractCancelled: s.LoggedContractCancelled,
        abi.Provisioned: s.LoggedProvisioned,
        abi.Delivered: s.LoggedDelivered,
        abi.Paid: s.LoggedPaid,
        abi.Confirmed: s.LoggedConfirmed,
        abi.Reminded: s.LoggedReminded,
        abi.ClaimIssued: s.LoggedClaimIssued,
        abi.ClaimCured: s.LoggedClaimCured,
        abi.Disputed: s.LoggedDisputed,
        abi.Ruled: s.LoggedRuled,
        abi.Collected: s.LoggedCollected,
    }
)
"""Event of the contract -> event of the projection with the same fields in the same order, after the block."""


class MarketDecoder:
    """A LogDecoder for one Market. Deposits and withdrawals are read from the chain where they are shown."""

    @property
    def topics(self) -> frozenset[bytes]:
        return frozenset(kind.TOPIC for kind in _EVENTS)  # type: ignore[attr-defined]

    def decode(self, log: RawLog) -> ChainEvent | None:
        """Return the event of the projection, None for a log that it has no use for."""
        try:
            found = abi.decode_log(log.topics, log.data)
        except ContractsError:
            return None
        make = _EVENTS.get(type(found))
        if make is None:
            return None
        values = [getattr(found, field.name) for field in fields(found)]
        return make(Block(log.block_number, log.block_hash), *values)


def opened(message: m.Message, domain: Domain) -> bytes:
    """A message as an opening value: its EIP-712 document as JSON."""
    return json.dumps(m.typed_data(message, domain), separators=(",", ":")).encode()


def _order(raw: bytes, kind: type[T]) -> T:
    try:
        message, _ = m.from_typed_data(json.loads(raw))
    except (KeysError, ValueError) as error:
        raise MessageMalformed(f"an order beside the match cannot be read: {error}") from error
    if not isinstance(message, kind):
        raise MessageMalformed(f"expected a {kind.__name__}, found a {type(message).__name__}")
    return message


def _match(message: m.Message, signatures: Sequence[bytes], opening: Sequence[bytes]) -> bytes:
    offer, request = _order(opening[0], m.Offer), _order(opening[1], m.Request)
    return abi.encode_make_contract(message, offer, request, *signatures)  # type: ignore[arg-type]


def _provision(message: m.Message, signatures: Sequence[bytes], opening: Sequence[bytes]) -> bytes:
    """Opened by one byte: 0 for the first report, 1 for the answer to it."""
    encode = abi.encode_answer if opening[0] == b"\x01" else abi.encode_report
    return encode(message, signatures[0])  # type: ignore[arg-type]


def _deposit(message: m.Message, signatures: Sequence[bytes], opening: Sequence[bytes]) -> bytes:
    """Opened by the token's permit and its signature."""
    permit, raw = _order(opening[0], m.Permit), opening[1]
    if len(raw) != 65:
        raise MessageMalformed("a permit is signed by 65 bytes")
    given = abi.PermitSignature(permit.value, permit.deadline, raw[64], raw[:32], raw[32:64])
    return abi.encode_deposit_with_permit(message, signatures[0], given)  # type: ignore[arg-type]


Encoder = Callable[[m.Message, Sequence[bytes], Sequence[bytes]], bytes]


def _plain(encode: Callable[..., bytes]) -> Encoder:
    return lambda message, signatures, _: encode(message, *signatures)


# Message -> (encoder, number of signatures, number of opening values, gas where nobody estimates).
_CALLS: Mapping[type[m.Message], tuple[Encoder, int, int, int]] = MappingProxyType(
    {
        m.Match: (_match, 3, 2, 500_000),
        m.Cancel: (_plain(abi.encode_cancel_order), 1, 0, 150_000),
        m.Provision: (_provision, 1, 1, 200_000),
        m.Payment: (_plain(abi.encode_pay), 1, 0, 1_500_000),
        m.Confirm: (_plain(abi.encode_confirm), 1, 0, 150_000),
        m.Remind: (_plain(abi.encode_remind), 1, 0, 150_000),
        m.IssueClaim: (_plain(abi.encode_issue_claim), 1, 0, 250_000),
        m.Cure: (_plain(abi.encode_cure), 1, 0, 250_000),
        m.Dispute: (_plain(abi.encode_dispute), 1, 0, 150_000),
        m.Deposit: (_deposit, 1, 2, 400_000),
        m.Withdraw: (_plain(abi.encode_withdraw), 1, 0, 200_000),
    }
)


def market_call(address: bytes, message: m.Message, signatures: Sequence[bytes], opening: Sequence[bytes]) -> Call:
    """The call that brings a signed message onto the chain. Raises MessageMalformed."""
    shape = _CALLS.get(type(message))
    name = type(message).__name__
    if shape is None:
        raise MessageMalformed(f"{name} is not a message of the market")
    encode, signers, openings, gas = shape
    if len(signatures) != signers or len(opening) != openings:
        raise MessageMalformed(f"{name} takes {signers} signature(s) and {openings} value(s) besides")
    return Call(address, encode(message, signatures, opening), gas=gas)


def _reason(data: bytes) -> Reason | None:
    return reason_from(abi.ERRORS, abi.decode_error, data)


def market_face(chain_id: int, address: bytes) -> Face:
    """The face of the Market at an address."""
    return Face(m.market_domain(chain_id, address), frozenset(_CALLS), market_call, MarketDecoder(), _reason)


class MarketViews:
    """What one Market says. Minor units; all raise RpcError."""

    def __init__(self, reader: ChainReader, address: bytes) -> None:
        self.address = address
        self._reader = reader

    async def token(self) -> bytes:
        """The token that everything is counted in (bytes20)."""
        return await self._ask(abi.encode_token(), abi.decode_token)

    async def money(self) -> Money:
        """The token itself."""
        return Money(self._reader, await self.token())

    async def terms(self, terms: bytes, *, at: At = "latest") -> abi.Terms:
        """Published terms; their operator is zero where nobody published them."""
        return await self._ask(abi.encode_terms_of(terms), abi.decode_terms_of, at)

    async def balance(self, operator: bytes, account: bytes, *, at: At = "latest") -> int:
        """What an account has in an operator's book, without what is reserved."""
        found = await self._ask(abi.encode_member_of(operator, account), abi.decode_member_of, at)
        return int(found.balance)

    async def _ask(self, data: bytes, decode: Callable[[bytes], T], at: At = "latest") -> T:
        try:
            return decode(await self._reader.call(self.address, data, at=at))
        except MalformedData as error:
            raise RpcGarbled(f"an answer of the market does not parse: {error}") from error


class Money:
    """The ERC-20 token of a market, as far as a permit needs it (ERC-2612, EIP-5267)."""

    def __init__(self, reader: ChainReader, address: bytes) -> None:
        self.address = address
        self._reader = reader

    async def balance(self, account: bytes, *, at: At = "latest") -> int:
        """Minor units of an account."""
        return dev_token.decode_balance_of(
            await self._reader.call(self.address, dev_token.encode_balance_of(account), at=at)
        )

    async def nonce(self, account: bytes) -> int:
        """The nonce of the account's next permit."""
        return dev_token.decode_nonces(await self._reader.call(self.address, dev_token.encode_nonces(account)))

    async def domain(self) -> Domain:
        """The domain under which permits are signed, as the token tells it."""
        answer = await self._reader.call(self.address, dev_token.encode_eip712_domain())
        _, name, version, chain_id, contract, _, _ = dev_token.decode_eip712_domain(answer)
        return Domain(name, version, chain_id, contract)
