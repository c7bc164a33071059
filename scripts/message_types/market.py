"""Types of the Market and the contracts beside it."""

from __future__ import annotations

from scripts.message_types import DEADLINE, ContractMessages

__all__ = ["ALLOWANCES", "ANCHORS", "MARKET", "NET_SETTLEMENT"]

MARKET = ContractMessages(
    name="Market",
    domain="Wattpact Market",
    address="0x3456789012abcdef3456789012abcdef34567890",
    messages={
        f"Deposit(address account,address operator,uint88 amount,{DEADLINE})": ("account",),
        f"Withdraw(address account,address operator,uint88 amount,{DEADLINE})": ("account",),
        "Offer(address account,address operator,bytes32 terms,address partner,address device,uint64 wh,"
        f"uint88 price,uint40 start,uint40 end,{DEADLINE})": ("account",),
        "Request(address account,address operator,bytes32 terms,address partner,address device,uint64 wh,"
        f"uint88 price,uint40 start,uint40 end,{DEADLINE})": ("account",),
        "Match(address operator,bytes32 offer,bytes32 request,uint64 wh,uint88 price,uint40 start,uint40 end,"
        f"{DEADLINE})": ("operator",),
        "Cancel(address account,address operator,bytes32 id,uint40 deadline)": ("account",),
        "Provision(address account,address operator,bytes32 contractId,uint64 wh,uint40 deadline)": ("account",),
        "Counter(address device,uint64 counterWh,uint40 meterTime)": ("device",),
        "Payment(address payer,address operator,bytes32[] contracts,uint88 amount,bool fromWallet,uint40 deadline)": (
            "payer",
        ),
        "Confirm(address account,address operator,bytes32 contractId,uint40 deadline)": ("account",),
        "Remind(address account,address operator,bytes32 contractId,uint8 number,uint40 deadline)": ("account",),
        "IssueClaim(address account,address operator,bytes32 contractId,bytes32 evidence,uint40 deadline)": (
            "account",
        ),
        "Cure(address account,address operator,bytes32 contractId,uint40 deadline)": ("account",),
        "Dispute(address account,address operator,bytes32 contractId,bytes32 reason,uint40 deadline)": ("account",),
        "Ruling(address arbiter,address operator,bytes32 contractId,uint64 wh,uint40 deadline)": ("arbiter",),
    },
)

NET_SETTLEMENT = ContractMessages(
    name="NetSettlement",
    domain="Wattpact NetSettlement",
    address="0x4567890123abcdef4567890123abcdef45678901",
    messages={
        f"Deposit(address account,address operator,uint88 amount,{DEADLINE})": ("account",),
        f"Withdraw(address account,address operator,uint88 amount,{DEADLINE})": ("account",),
        "Request(address account,address operator,bytes32 terms,address partner,address device,uint64 wh,"
        f"uint88 price,uint40 start,uint40 end,{DEADLINE})": ("account",),
        "NetMandate(address account,address operator,uint88 maxDebitPerPeriod,uint40 validUntil,uint32 nonce,"
        "uint40 deadline)": ("account",),
        "NetBatch(address operator,uint24 period,bytes32 root,bytes32 debits,bytes32 credits,uint40 deadline)": (
            "operator",
        ),
        "Demand(address account,address operator,uint24 period,uint40 deadline)": ("account",),
    },
)

ANCHORS = ContractMessages(
    name="Anchors",
    domain="Wattpact Anchors",
    address="0x5678901234abcdef5678901234abcdef56789012",
    messages={
        "Anchor(address operator,bytes32 prev,bytes32 root,uint32 count,uint40 deadline)": ("operator",),
        f"Delegate(address account,address key,uint32 scope,uint40 until,{DEADLINE})": ("account",),
    },
)

ALLOWANCES = ContractMessages(
    name="Allowances",
    domain="Wattpact Allowances",
    address="0x6789012345abcdef6789012345abcdef67890123",
    messages={
        "Allowance(address owner,address account,address operator,uint88 perDay,uint88 perContract,"
        "uint40 validUntil,uint32 nonce,uint40 deadline)": ("owner",),
    },
)
