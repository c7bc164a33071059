"""Values for the tests of `keys`: one phrase that is public everywhere, cheap Argon2id costs, one of each message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keys.identity import Identity
from keys.keystore import KdfCost
from keys.messages import (
    OPEN_END,
    ClaimEnergy,
    Grant,
    IssueShares,
    Message,
    MeterReset,
    PairDevice,
    ParcelSeal,
    PauseSource,
    Permit,
    Reading,
    RegisterKey,
    RegisterSource,
    RegisterStream,
    Revoke,
    SetWriter,
    Statement,
    StreamCommit,
    TransferShares,
    TransferStream,
    UnpairDevice,
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
    ParcelSeal(OWNER, ID, OTHER_ID, "consent.request", ID, 1_700_000_000, 1_700_000_060),
    Statement(OWNER, "party-card", ID, OTHER_ID, 1_700_000_000, 1_700_000_060),
)


def vector(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def identity() -> Identity:
    return Identity.from_mnemonic(PHRASE)
