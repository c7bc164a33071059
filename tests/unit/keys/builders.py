"""Values for the tests of `keys`: one phrase that is public everywhere, cheap Argon2id costs, one of each message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keys.identity import Identity
from keys.keystore import KdfCost
from keys.messages import (
    OPEN_END,
    Allowance,
    Anchor,
    Cancel,
    ClaimEnergy,
    Confirm,
    Counter,
    Cure,
    Delegate,
    Demand,
    Deposit,
    Dispute,
    Grant,
    IssueClaim,
    IssueShares,
    Match,
    Message,
    MeterReset,
    NetBatch,
    NetMandate,
    Offer,
    PairDevice,
    ParcelSeal,
    PauseSource,
    Payment,
    Permit,
    Provision,
    Reading,
    RegisterKey,
    RegisterSource,
    RegisterStream,
    Remind,
    Request,
    Revoke,
    Ruling,
    SetWriter,
    Statement,
    StreamCommit,
    TransferShares,
    TransferStream,
    UnpairDevice,
    Withdraw,
    registry_domain,
)

PHRASE = "test test test test test test test test test test test junk"
CHEAP = KdfCost(time_cost=1, memory_kib=64, lanes=1)
DOMAIN = registry_domain(31337, b"\x0c" * 20)
VECTORS = Path(__file__).resolve().parents[2] / "vectors"

OWNER, READER, WRITER = b"\x01" * 20, b"\x02" * 20, b"\x03" * 20
ID, OTHER_ID = b"\x11" * 32, b"\x22" * 32
NONCE, DEADLINE = 2**255 + 7, 1_800_000_000

MESSAGES: tuple[Message, ...] = (
    RegisterStream(OWNER, ID, WRITER, OTHER_ID, 1_700_000_000, 900, NONCE, DEADLINE),
    SetWriter(OWNER, ID, WRITER, OTHER_ID, NONCE, DEADLINE),
    PairDevice(OWNER, ID, NONCE, DEADLINE),
    UnpairDevice(OWNER, ID, (ID, OTHER_ID), NONCE, DEADLINE),
    Grant(OWNER, READER, ID, (ID, OTHER_ID), 1_700_000_000, OPEN_END, 7, OTHER_ID, NONCE, DEADLINE),
    Revoke(OWNER, ID, bytes(32)),
    RegisterKey(READER, ID, OTHER_ID, NONCE, DEADLINE),
    StreamCommit(ID, 2**64 - 1, OTHER_ID),
    TransferStream(OWNER, READER, ID, NONCE, DEADLINE),
    RegisterSource(12, OWNER, WRITER, 4_000, 30_000, 1_000_000, NONCE, DEADLINE),
    IssueShares(OWNER, 12, 1_000_000, NONCE, DEADLINE),
    MeterReset(12, OWNER, WRITER, 7, 5_000, 0, 2**48 - 1, NONCE, DEADLINE),
    PauseSource(OWNER, 12, True, NONCE, DEADLINE),
    Reading(2**64 - 1, 8, 5_250, 1_700_000_900),
    TransferShares(OWNER, READER, 12, 250_000, NONCE, DEADLINE),
    ClaimEnergy(READER, 12),
    Permit(OWNER, READER, 2**256 - 1, 3, DEADLINE),
    Deposit(OWNER, READER, 2**88 - 1, NONCE, DEADLINE),
    Withdraw(OWNER, READER, 500, NONCE, DEADLINE),
    Offer(OWNER, READER, ID, bytes(20), WRITER, 2_000, 250, 1_700_000_000, 1_700_000_900, NONCE, DEADLINE),
    Request(OWNER, READER, ID, WRITER, bytes(20), 2**64 - 1, 250, 1_700_000_000, 1_700_000_900, NONCE, DEADLINE),
    Match(READER, ID, OTHER_ID, 2_000, 250, 1_700_000_000, 1_700_000_900, NONCE, DEADLINE),
    Cancel(OWNER, READER, ID, DEADLINE),
    Provision(OWNER, READER, ID, 1_950, DEADLINE),
    Counter(WRITER, 5_250, 1_700_000_900),
    Payment(OWNER, READER, (ID, OTHER_ID), 1_000, True, DEADLINE),
    Confirm(OWNER, READER, ID, DEADLINE),
    Remind(OWNER, READER, ID, 3, DEADLINE),
    IssueClaim(OWNER, READER, ID, OTHER_ID, DEADLINE),
    Cure(OWNER, READER, ID, DEADLINE),
    Dispute(OWNER, READER, ID, OTHER_ID, DEADLINE),
    Ruling(WRITER, READER, ID, 1_000, DEADLINE),
    Allowance(OWNER, WRITER, READER, 5_000, 500, 1_750_000_000, 3, DEADLINE),
    Anchor(READER, ID, OTHER_ID, 250, DEADLINE),
    Delegate(OWNER, WRITER, 1, 1_750_000_000, NONCE, DEADLINE),
    NetMandate(OWNER, READER, 10_000, 1_750_000_000, 2, DEADLINE),
    NetBatch(READER, 19_675, ID, OTHER_ID, ID, DEADLINE),
    Demand(OWNER, READER, 19_675, DEADLINE),
    ParcelSeal(OWNER, ID, OTHER_ID, "consent.request", ID, 1_700_000_000, 1_700_000_060),
    Statement(OWNER, "party-card", ID, OTHER_ID, 1_700_000_000, 1_700_000_060),
)


def vector(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def identity() -> Identity:
    return Identity.from_mnemonic(PHRASE)
