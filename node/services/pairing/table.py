"""The two state machines of pairing, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from node.services.pairing.errors import IllegalMove

__all__ = [
    "GATEWAY_TABLE",
    "HOME_TABLE",
    "GatewayMove",
    "GatewayStatus",
    "HomeMove",
    "HomeStatus",
    "diagram",
    "move",
]


class GatewayStatus(StrEnum):
    """`open` has a code; `meeting` has met one home that knew it; `claimed` waits for the chain."""

    IDLE = "idle"
    OPEN = "open"
    LOCKED = "locked"
    MEETING = "meeting"
    CLAIMED = "claimed"
    PAIRED = "paired"


class GatewayMove(StrEnum):
    """`reset` is done to a stopped device: it loses this state with every key, and without a state it is idle."""

    NEW_CODE = "new_code"
    EXPIRED = "expired"
    TOO_MANY_TRIES = "too_many_tries"
    CODE_CONFIRMED = "code_confirmed"
    CLAIM_RECEIVED = "claim_received"
    CLAIM_LAPSED = "claim_lapsed"
    CHAIN_PAIRED = "chain_paired"
    CHAIN_UNPAIRED = "chain_unpaired"
    RESET = "reset"


class HomeStatus(StrEnum):
    """`met` knows the gateway and has a message to sign; `paired` holds both signatures."""

    GREETED = "greeted"
    CONFIRMED = "confirmed"
    MET = "met"
    CLAIMED = "claimed"
    PAIRED = "paired"
    FAILED = "failed"


class HomeMove(StrEnum):
    HELLO_RECEIVED = "hello_received"
    CONFIRM_RECEIVED = "confirm_received"
    SIGNED = "signed"
    FINISH_RECEIVED = "finish_received"
    FAILED = "failed"


_G, _GM = GatewayStatus, GatewayMove
# A code is good for one meeting: whoever knew it uses it up, and a new one needs a person at the gateway.
GATEWAY_TABLE: Mapping[tuple[GatewayStatus, GatewayMove], GatewayStatus] = MappingProxyType(
    {
        (_G.IDLE, _GM.NEW_CODE): _G.OPEN,
        (_G.OPEN, _GM.NEW_CODE): _G.OPEN,
        (_G.LOCKED, _GM.NEW_CODE): _G.OPEN,
        (_G.MEETING, _GM.NEW_CODE): _G.OPEN,
        (_G.OPEN, _GM.EXPIRED): _G.IDLE,
        (_G.MEETING, _GM.EXPIRED): _G.IDLE,
        (_G.OPEN, _GM.TOO_MANY_TRIES): _G.LOCKED,
        (_G.OPEN, _GM.CODE_CONFIRMED): _G.MEETING,
        (_G.MEETING, _GM.CLAIM_RECEIVED): _G.CLAIMED,
        (_G.CLAIMED, _GM.CLAIM_LAPSED): _G.IDLE,
        # From everywhere: a claim may land after its lapse, and a deleted database is rebuilt from the chain.
        **{(status, _GM.CHAIN_PAIRED): _G.PAIRED for status in _G},
        (_G.PAIRED, _GM.CHAIN_UNPAIRED): _G.IDLE,
        **{(status, _GM.RESET): _G.IDLE for status in _G},
    }
)

_H, _HM = HomeStatus, HomeMove
HOME_TABLE: Mapping[tuple[HomeStatus, HomeMove], HomeStatus] = MappingProxyType(
    {
        (_H.GREETED, _HM.HELLO_RECEIVED): _H.CONFIRMED,
        (_H.CONFIRMED, _HM.CONFIRM_RECEIVED): _H.MET,
        (_H.MET, _HM.SIGNED): _H.CLAIMED,
        (_H.CLAIMED, _HM.FINISH_RECEIVED): _H.PAIRED,
        **{(status, _HM.FAILED): _H.FAILED for status in (_H.GREETED, _H.CONFIRMED, _H.MET, _H.CLAIMED)},
    }
)

Status = TypeVar("Status", GatewayStatus, HomeStatus)
Move = TypeVar("Move", GatewayMove, HomeMove)


def move(table: Mapping[tuple[Status, Move], Status], status: Status, made: Move) -> Status:
    """The next status; IllegalMove where the table has none."""
    target = table.get((status, made))
    if target is None:
        raise IllegalMove(f"{made.value} is not possible while the pairing is {status.value}")
    return target


def diagram(table: Mapping[tuple[Status, Move], Status]) -> str:
    """The table as a Mermaid state diagram, sorted."""
    rows = sorted((source.value, target.value, made.value) for (source, made), target in table.items())
    return "stateDiagram-v2\n" + "".join(f"    {source} --> {target}: {made}\n" for source, target, made in rows)
