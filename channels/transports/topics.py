"""The topics of channels.md 7, as text and as values.

    wattpact/v1/{sid}/commits            writer -> readers   the last one retained
    wattpact/v1/{sid}/data               writer -> readers
    wattpact/v1/{sid}/checkpoints        writer -> readers   the last one retained
    wattpact/v1/{sid}/capsule/{grantId}  writer -> one reader, retained until the reader's receipt
    wattpact/v1/{sid}/ask                readers -> writer   signed requests and receipts (channels/asks.py)
    wattpact/v1/{sid}/replay/{grantId}   writer -> one reader: answers to that reader's requests
    wattpact/v1/{meeting}/meet           two nodes that pair (node/services/pairing/rendezvous.py)
    wattpact/v1/{mailbox}/mail           sealed parcels to one node, and answers to its own (node/app/mail.py)
    wattpact/v1/{mailbox}/card           that node's signed card, retained

`sid`, `grantId`, `meeting` and `mailbox` are 64 lower-case hex digits; any other spelling is no topic of ours, so two
names never mean one stream. A `replay` topic carries what `ask` asked for to the one who asked, without retained flag:
a reader that comes later asks itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from channels.errors import TransportError

__all__ = ["KEYED", "RETAINED", "Kind", "Topic"]


class Kind(StrEnum):
    """What a topic carries."""

    COMMITS = "commits"
    DATA = "data"
    CHECKPOINTS = "checkpoints"
    CAPSULE = "capsule"
    ASK = "ask"
    REPLAY = "replay"
    MEET = "meet"
    MAIL = "mail"
    CARD = "card"


KEYED = frozenset({Kind.CAPSULE, Kind.REPLAY})
RETAINED = frozenset({Kind.COMMITS, Kind.CHECKPOINTS, Kind.CAPSULE, Kind.CARD})

_PREFIX = "wattpact/v1"
_TOPIC = re.compile(r"wattpact/v1/([0-9a-f]{64})/([a-z]+)(?:/([0-9a-f]{64}))?")


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `sid` is the id of a stream, a meeting or a mailbox (32 bytes); `key` is the grant id (32 bytes) for
    the kinds in KEYED and empty for the others."""

    kind: Kind
    sid: bytes
    key: bytes = b""

    def __post_init__(self) -> None:
        if len(self.sid) != 32 or len(self.key) != (32 if self.kind in KEYED else 0):
            raise TransportError(
                f"a {self.kind} topic has a 32-byte sid and {'a' if self.kind in KEYED else 'no'} grant"
            )

    @property
    def name(self) -> str:
        """The topic as MQTT spells it."""
        name = f"{_PREFIX}/{self.sid.hex()}/{self.kind}"
        return f"{name}/{self.key.hex()}" if self.key else name

    @classmethod
    def parse(cls, name: str) -> Topic:
        """The value of a topic name. Raises TransportError for anything that `name` would not give."""
        found = _TOPIC.fullmatch(name)
        if found is None or found[2] not in set(Kind):
            raise TransportError("not a topic of a channel")
        return cls(Kind(found[2]), bytes.fromhex(found[1]), bytes.fromhex(found[3] or ""))
