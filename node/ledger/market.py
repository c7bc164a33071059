"""The Market as the ledger uses it: logs become events, messages become calls, and its views."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Final, TypeVar

from contracts.bindings import dev_token
from contracts.bindings import market as abi
from contracts.errors import ContractsError
from keys import messages as m
from keys.eip712 import Domain
from node.ledger.anchors import AnchorViews
from node.ledger.answers import ask
from node.ledger.errors import MessageMalformed, RpcRefused
from node.ledger.faces import Face
from node.ledger.openings import raw_of, shown_in
from node.ledger.reader import At, ChainReader
from node.ledger.reverts import Reason, reason_from, reason_of, rejected_in
from node.ledger.transaction import Call
from node.ledger.wire import RawLog
from node.projection import settlement_events as s
from node.projection.base import Block, ChainEvent

__all__ = [
    "MarketDecoder",
    "MarketViews",
    "Money",
    "market_batch",
    "market_call",
    "market_face",
    "market_rejections",
    "opened",
    "permitted",
    "refusal_of",
]

T = TypeVar("T")
_MOST_TERMS: Final = 1_000

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
"""Event of the contract -> event of the projection with the same fields in the same order, after the block.

What names a contract has the time of the block at the end: waits are counted from it.
"""


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
        times = () if make is s.LoggedOrderCancelled else (log.timestamp,)
        return make(Block(log.block_number, log.block_hash), *values, *times)


def opened(message: m.Message, domain: Domain) -> bytes:
    """A message as an opening value: its EIP-712 document as JSON."""
    return json.dumps(m.typed_data(message, domain), separators=(",", ":")).encode()


def _match(message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening]) -> bytes:
    offer, request = shown_in(opening[0], m.Offer), shown_in(opening[1], m.Request)
    return abi.encode_make_contract(message, offer, request, *signatures)  # type: ignore[arg-type]


def _provision(message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening]) -> bytes:
    """Opened by one byte: 0 for the first report, 1 for the answer to it."""
    encode = abi.encode_answer if raw_of(opening[0]) == b"\x01" else abi.encode_report
    return encode(message, signatures[0])  # type: ignore[arg-type]


def _cancel(message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening]) -> bytes:
    """Opened by one byte: 0 for an order; 1 for a contract, followed by the partner's signature if there is one."""
    how = raw_of(opening[0])
    if how[:1] == b"\x01":
        return abi.encode_cancel_contract(message, signatures[0], how[1:])  # type: ignore[arg-type]
    return abi.encode_cancel_order(message, signatures[0])  # type: ignore[arg-type]


def permitted(opening: Sequence[m.Opening]) -> tuple[int, int, int, bytes, bytes]:
    """Value, deadline, v, r and s of a token's permit and its signature. Raises MessageMalformed."""
    permit, raw = shown_in(opening[0], m.Permit), raw_of(opening[1])
    if len(raw) != 65:
        raise MessageMalformed("a permit is signed by 65 bytes")
    return permit.value, permit.deadline, raw[64], raw[:32], raw[32:64]


def _deposit(message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening]) -> bytes:
    """Opened by the token's permit and its signature."""
    given = abi.PermitSignature(*permitted(opening))
    return abi.encode_deposit_with_permit(message, signatures[0], given)  # type: ignore[arg-type]


Encoder = Callable[[m.Message, Sequence[bytes], Sequence[m.Opening]], bytes]


def _plain(encode: Callable[..., bytes]) -> Encoder:
    return lambda message, signatures, _: encode(message, *signatures)


# Message -> (encoder, number of signatures, number of opening values, gas where nobody estimates). In a batch nobody
# does: there it is what `contracts/gas.json` has and room for accounts that are new in the book.
_CALLS: Mapping[type[m.Message], tuple[Encoder, int, int, int]] = MappingProxyType(
    {
        m.Match: (_match, 3, 2, 350_000),
        m.Cancel: (_cancel, 1, 1, 200_000),
        m.Provision: (_provision, 1, 1, 150_000),
        m.Payment: (_plain(abi.encode_pay), 1, 0, 1_500_000),
        m.Confirm: (_plain(abi.encode_confirm), 1, 0, 150_000),
        m.Remind: (_plain(abi.encode_remind), 1, 0, 150_000),
        m.IssueClaim: (_plain(abi.encode_issue_claim), 1, 0, 250_000),
        m.Cure: (_plain(abi.encode_cure), 1, 0, 250_000),
        m.Dispute: (_plain(abi.encode_dispute), 1, 0, 150_000),
        m.Ruling: (_plain(abi.encode_rule), 1, 0, 200_000),
        m.Deposit: (_deposit, 1, 2, 400_000),
        m.Withdraw: (_plain(abi.encode_withdraw), 1, 0, 200_000),
    }
)


def market_call(address: bytes, message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening]) -> Call:
    """The call that brings a signed message onto the chain. Raises MessageMalformed."""
    shape = _CALLS.get(type(message))
    name = type(message).__name__
    if shape is None:
        raise MessageMalformed(f"{name} is not a message of the market")
    encode, signers, openings, gas = shape
    if len(signatures) != signers or len(opening) != openings:
        raise MessageMalformed(f"{name} takes {signers} signature(s) and {openings} value(s) besides")
    if isinstance(message, m.Payment):
        gas = min(gas, 100_000 * len(message.contracts) + 50_000)
    return Call(address, encode(message, signatures, opening), gas=gas)


def market_batch(address: bytes, calls: Sequence[Call]) -> Call:
    """The one call that carries several. One that is refused changes nothing for the others."""
    gas = sum(call.known_gas or call.gas for call in calls) + _BATCH_RESERVE
    return Call(address, abi.encode_batch([call.data for call in calls]), gas=gas, known_gas=gas)


# The contract wants 200,000 left before each message, and reverts the batch otherwise.
_BATCH_RESERVE = 300_000


def market_rejections(logs: Sequence[RawLog]) -> dict[bytes, Reason]:
    """Why messages of a batch were refused, by message digest, from the logs of its receipt."""
    return rejected_in(logs, abi.Rejected.TOPIC, abi.decode_log, abi.error_name, abi.ERRORS)


def _reason(data: bytes) -> Reason | None:
    return reason_from(abi.ERRORS, abi.decode_error, data)


def refusal_of(refused: RpcRefused) -> str:
    """Why the market would not take a call, in words."""
    return str(reason_of(refused, _reason) or refused)


def early_until(refused: RpcRefused) -> int | None:
    """Seconds since 1970 from which the market takes a call that it refused as too early; None for another reason."""
    reason = reason_of(refused, _reason)
    return int(reason.arguments[0][1]) if reason is not None and reason.name == "TooEarly" else None


def market_face(chain_id: int, address: bytes) -> Face:
    """The face of the Market at an address."""
    kinds = frozenset(_CALLS)
    return Face(m.market_domain(chain_id, address), kinds, market_call, MarketDecoder(), _reason, kinds)


class MarketViews:
    """What one Market says. Minor units; all raise RpcError."""

    def __init__(self, reader: ChainReader, address: bytes) -> None:
        self.address = address
        self._reader = reader
        self._anchors: AnchorViews | None = None
        self._money: Money | None = None
        self._terms: dict[bytes, abi.Terms] = {}

    async def token(self) -> bytes:
        """The token that everything is counted in (bytes20)."""
        return await self._ask(abi.encode_token(), abi.decode_token)

    async def money(self) -> Money:
        """The token itself, which a market is deployed with and never changes."""
        if self._money is None:
            self._money = Money(self._reader, await self.token())
        return self._money

    async def anchors(self) -> AnchorViews:
        """The Anchors contract that this market was deployed with; it never changes."""
        if self._anchors is None:
            self._anchors = AnchorViews(self._reader, await self._ask(abi.encode_anchors(), abi.decode_anchors))
        return self._anchors

    async def terms(self, terms: bytes, *, at: At = "latest") -> abi.Terms:
        """Published terms; their operator is zero where nobody published them.

        An id is the hash of its terms, so what was read once is the same for ever and is not asked for again.
        """
        known = self._terms.get(terms)
        if known is not None and at == "latest":
            return known
        found = await self._ask(abi.encode_terms_of(terms), abi.decode_terms_of, at)
        if any(found.operator):
            self._terms[terms] = found
            if len(self._terms) > _MOST_TERMS:
                del self._terms[next(iter(self._terms))]
        return found

    async def contract(self, operator: bytes, contract_id: bytes, *, at: At = "latest") -> abi.Trade:
        """A contract as the chain has it; all zero where there is none."""
        return await self._ask(abi.encode_contract_of(operator, contract_id), abi.decode_contract_of, at)

    async def number(self, operator: bytes, account: bytes, *, at: At = "latest") -> int:
        """The number by which contracts name an account in an operator's book; 0 for one that is not in it."""
        return await self._ask(abi.encode_number_of(operator, account), abi.decode_number_of, at)

    async def balance(self, operator: bytes, account: bytes, *, at: At = "latest") -> int:
        """What an account has in an operator's book, without what is reserved."""
        return int((await self.member(operator, account, at=at)).balance)

    async def member(self, operator: bytes, account: bytes, *, at: At = "latest") -> abi.Member:
        """An account's entry in an operator's book; all zero where there is none."""
        return await self._ask(abi.encode_member_of(operator, account), abi.decode_member_of, at)

    async def _ask(self, data: bytes, decode: Callable[[bytes], T], at: At = "latest") -> T:
        return await ask(self._reader, self.address, data, decode, "the market", at=at)


class Money:
    """The ERC-20 token of a market, as far as a permit needs it (ERC-2612, EIP-5267)."""

    def __init__(self, reader: ChainReader, address: bytes) -> None:
        self.address = address
        self._reader = reader
        self._unit: tuple[str, int] | None = None

    async def balance(self, account: bytes, *, at: At = "latest") -> int:
        """Minor units of an account."""
        return await self._ask(dev_token.encode_balance_of(account), dev_token.decode_balance_of, at)

    async def nonce(self, account: bytes) -> int:
        """The nonce of the account's next permit."""
        return await self._ask(dev_token.encode_nonces(account), dev_token.decode_nonces)

    async def allowance(self, owner: bytes, spender: bytes) -> int:
        """Minor units that the owner lets the spender draw."""
        return await self._ask(dev_token.encode_allowance(owner, spender), dev_token.decode_allowance)

    async def unit(self) -> tuple[str, int]:
        """What the token is called, and the power of ten between it and its minor units; asked once."""
        if self._unit is None:
            symbol = await self._ask(dev_token.encode_symbol(), dev_token.decode_symbol)
            self._unit = symbol, await self._ask(dev_token.encode_decimals(), dev_token.decode_decimals)
        return self._unit

    async def domain(self) -> Domain:
        """The domain under which permits are signed, as the token tells it."""
        answer = await self._ask(dev_token.encode_eip712_domain(), dev_token.decode_eip712_domain)
        _, name, version, chain_id, contract, _, _ = answer
        return Domain(name, version, chain_id, contract)

    async def _ask(self, data: bytes, decode: Callable[[bytes], T], at: At = "latest") -> T:
        return await ask(self._reader, self.address, data, decode, "the token", at=at)
