"""Messages of the market: orders, contracts, delivery, payment, claims, netting, anchors and funding.

Energy is in Wh, money in minor units of the market's token, prices in minor units per kWh. `operator` says in whose
market. Messages without a nonce are used up by the state that they change. The same Deposit, Withdraw and Request are
signed for a Market or for a NetSettlement: the domain says for which, so an order is never settled in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from keys.eip712 import Domain, Struct
from keys.messages.base import DEADLINE, Message

__all__ = [
    "Allowance",
    "Anchor",
    "Cancel",
    "Confirm",
    "Counter",
    "Cure",
    "Delegate",
    "Demand",
    "Deposit",
    "Dispute",
    "IssueClaim",
    "Match",
    "NetBatch",
    "NetMandate",
    "Offer",
    "Payment",
    "Provision",
    "Remind",
    "Request",
    "Ruling",
    "Withdraw",
    "allowances_domain",
    "anchors_domain",
    "market_domain",
    "net_settlement_domain",
]


@dataclass(frozen=True, slots=True)
class Deposit(Message):
    """Takes tokens from the account's wallet into its book with an operator; signed by the account."""

    STRUCT: ClassVar[Struct] = Struct(f"Deposit(address account,address operator,uint88 amount,{DEADLINE})")

    account: bytes
    operator: bytes
    amount: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Withdraw(Message):
    """Starts a withdrawal, which waits longer than any claim can take; signed by the account."""

    STRUCT: ClassVar[Struct] = Struct(f"Withdraw(address account,address operator,uint88 amount,{DEADLINE})")

    account: bytes
    operator: bytes
    amount: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Offer(Message):
    """Energy for sale at `price` or more; signed by the seller or its delegate. `partner`, `device`: zero for none."""

    STRUCT: ClassVar[Struct] = Struct(
        "Offer(address account,address operator,bytes32 terms,address partner,address device,uint64 wh,"
        f"uint88 price,uint40 start,uint40 end,{DEADLINE})"
    )

    account: bytes
    operator: bytes
    terms: bytes
    partner: bytes
    device: bytes
    wh: int
    price: int
    start: int
    end: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Request(Message):
    """Energy wanted at `price` or less; signed by the buyer or its delegate. Same fields as an Offer."""

    STRUCT: ClassVar[Struct] = Struct(
        "Request(address account,address operator,bytes32 terms,address partner,address device,uint64 wh,"
        f"uint88 price,uint40 start,uint40 end,{DEADLINE})"
    )

    account: bytes
    operator: bytes
    terms: bytes
    partner: bytes
    device: bytes
    wh: int
    price: int
    start: int
    end: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Match(Message):
    """Makes a contract of two orders; signed by the operator that both name. Its digest is the contract's id."""

    STRUCT: ClassVar[Struct] = Struct(
        "Match(address operator,bytes32 offer,bytes32 request,uint64 wh,uint88 price,uint40 start,uint40 end,"
        f"{DEADLINE})"
    )

    operator: bytes
    offer: bytes
    request: bytes
    wh: int
    price: int
    start: int
    end: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Cancel(Message):
    """Takes an order back, or ends a contract before delivery; signed by the account, both for a free end."""

    STRUCT: ClassVar[Struct] = Struct("Cancel(address account,address operator,bytes32 id,uint40 deadline)")

    account: bytes
    operator: bytes
    id: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class Provision(Message):
    """What was delivered; signed by either partner."""

    STRUCT: ClassVar[Struct] = Struct(
        "Provision(address account,address operator,bytes32 contractId,uint64 wh,uint40 deadline)"
    )

    account: bytes
    operator: bytes
    contract_id: bytes
    wh: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Counter(Message):
    """An absolute counter at a time; signed by the meter that an order names."""

    STRUCT: ClassVar[Struct] = Struct("Counter(address device,uint64 counterWh,uint40 meterTime)")

    device: bytes
    counter_wh: int
    meter_time: int


@dataclass(frozen=True, slots=True)
class Payment(Message):
    """Pays contracts, all or none; signed by the buyer. `amount` is their sum."""

    STRUCT: ClassVar[Struct] = Struct(
        "Payment(address payer,address operator,bytes32[] contracts,uint88 amount,bool fromWallet,uint40 deadline)"
    )

    payer: bytes
    operator: bytes
    contracts: tuple[bytes, ...]
    amount: int
    from_wallet: bool
    deadline: int


@dataclass(frozen=True, slots=True)
class Confirm(Message):
    """The seller has seen the payment."""

    STRUCT: ClassVar[Struct] = Struct("Confirm(address account,address operator,bytes32 contractId,uint40 deadline)")

    account: bytes
    operator: bytes
    contract_id: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class Remind(Message):
    """The seller's reminder 1, 2 or 3."""

    STRUCT: ClassVar[Struct] = Struct(
        "Remind(address account,address operator,bytes32 contractId,uint8 number,uint40 deadline)"
    )

    account: bytes
    operator: bytes
    contract_id: bytes
    number: int
    deadline: int


@dataclass(frozen=True, slots=True)
class IssueClaim(Message):
    """Claims what was not paid after three reminders; signed by the seller."""

    STRUCT: ClassVar[Struct] = Struct(
        "IssueClaim(address account,address operator,bytes32 contractId,bytes32 evidence,uint40 deadline)"
    )

    account: bytes
    operator: bytes
    contract_id: bytes
    evidence: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class Cure(Message):
    """Pays a claim with its penalty; signed by the debtor."""

    STRUCT: ClassVar[Struct] = Struct("Cure(address account,address operator,bytes32 contractId,uint40 deadline)")

    account: bytes
    operator: bytes
    contract_id: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class Dispute(Message):
    """Contests a claim; signed by the debtor."""

    STRUCT: ClassVar[Struct] = Struct(
        "Dispute(address account,address operator,bytes32 contractId,bytes32 reason,uint40 deadline)"
    )

    account: bytes
    operator: bytes
    contract_id: bytes
    reason: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class Ruling(Message):
    """Decides a dispute; signed by the arbiter of the terms."""

    STRUCT: ClassVar[Struct] = Struct(
        "Ruling(address arbiter,address operator,bytes32 contractId,uint64 wh,uint40 deadline)"
    )

    arbiter: bytes
    operator: bytes
    contract_id: bytes
    wh: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Allowance(Message):
    """Lets an account draw on the owner's wallet, for contracts only; signed by the owner. Zero revokes."""

    STRUCT: ClassVar[Struct] = Struct(
        "Allowance(address owner,address account,address operator,uint88 perDay,uint88 perContract,"
        "uint40 validUntil,uint32 nonce,uint40 deadline)"
    )

    owner: bytes
    account: bytes
    operator: bytes
    per_day: int
    per_contract: int
    valid_until: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Anchor(Message):
    """Anchors a root on the head `prev`; signed by the operator."""

    STRUCT: ClassVar[Struct] = Struct("Anchor(address operator,bytes32 prev,bytes32 root,uint32 count,uint40 deadline)")

    operator: bytes
    prev: bytes
    root: bytes
    count: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Delegate(Message):
    """Lets a key sign in the anchored lane until then; signed by the account. A past time ends it for good."""

    STRUCT: ClassVar[Struct] = Struct(f"Delegate(address account,address key,uint32 scope,uint40 until,{DEADLINE})")

    account: bytes
    key: bytes
    scope: int
    until: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class NetMandate(Message):
    """Lets an operator net up to so much a day; signed by the account. Zero revokes; a greater nonce replaces."""

    STRUCT: ClassVar[Struct] = Struct(
        "NetMandate(address account,address operator,uint88 maxDebitPerPeriod,uint40 validUntil,uint32 nonce,"
        "uint40 deadline)"
    )

    account: bytes
    operator: bytes
    max_debit_per_period: int
    valid_until: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class NetBatch(Message):
    """Nets a day; signed by the operator. Hashes of the two lists of entries, and the root of the lines."""

    STRUCT: ClassVar[Struct] = Struct(
        "NetBatch(address operator,uint24 period,bytes32 root,bytes32 debits,bytes32 credits,uint40 deadline)"
    )

    operator: bytes
    period: int
    root: bytes
    debits: bytes
    credits: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class Demand(Message):
    """Asks for the lines behind a debit; signed by the debtor."""

    STRUCT: ClassVar[Struct] = Struct("Demand(address account,address operator,uint24 period,uint40 deadline)")

    account: bytes
    operator: bytes
    period: int
    deadline: int


def allowances_domain(chain_id: int, address: bytes) -> Domain:
    """The domain of the Allowances contract at `address` (20 bytes) on a chain."""
    return Domain("Wattpact Allowances", "1", chain_id, address)


def anchors_domain(chain_id: int, address: bytes) -> Domain:
    """The domain of the Anchors contract at `address` (20 bytes) on a chain."""
    return Domain("Wattpact Anchors", "1", chain_id, address)


def market_domain(chain_id: int, address: bytes) -> Domain:
    """The domain of the Market contract at `address` (20 bytes) on a chain."""
    return Domain("Wattpact Market", "1", chain_id, address)


def net_settlement_domain(chain_id: int, address: bytes) -> Domain:
    """The domain of the NetSettlement contract at `address` (20 bytes) on a chain."""
    return Domain("Wattpact NetSettlement", "1", chain_id, address)
