"""What other programs are told: from the effects of one step to announcements with public contents only.

An announcement is made of `Notify` effects, so it says what the node came to believe, not what was put on chain. Its
`data` holds ids, addresses, hashes and numbers; salts, texts, parcels and signatures never leave this way.

What a reorganisation can take back carries its block in `undo`, and is taken back by an explicit announcement of its
own (storage writes it). A revocation, a voided grant and an unpairing stand whatever happens to their block; they have
no `undo`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from node.projection import effects as n
from node.projection.base import AggregateId, Block, ChainEvent, Effect, Event, State
from node.projection.consent import Consent
from node.projection.device import Device
from node.projection.events import LoggedFinalized, LoggedRolledBack
from node.projection.submission import Submission
from node.projection.trade import Trade

__all__ = ["ANNOUNCED", "Announcement", "announce"]

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Announcement:
    """`kind` is one of `ANNOUNCED`; `data` is JSON with 0x-hex. `block`: where the fact stands, if on chain.

    `undo`: height whose removal takes the fact back; None if nothing does.
    """

    kind: str
    aggregate: AggregateId
    data: Data
    block: Block | None = None
    undo: int | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: str
    data: Callable[[Any], Data]
    lasting: bool = False


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _nothing(_: Any) -> Data:
    return {}


def _order(effect: n.NotifyOrderChanged) -> Data:
    reason = {"reason": effect.reason} if effect.reason else {}
    return {"status": effect.status, "left_wh": effect.left, **reason}


_RULES: Mapping[type[Effect], _Rule] = MappingProxyType(
    {
        n.NotifyStreamRegistered: _Rule(
            "stream.registered", lambda e: {"owner": _hex(e.owner), "writer": _hex(e.writer)}
        ),
        n.NotifyWriterChanged: _Rule(
            "stream.writer", lambda e: {"writer": _hex(e.writer), "stream_key_hash": _hex(e.stream_key_hash)}
        ),
        n.NotifyCommitted: _Rule("stream.committed", lambda e: {"epoch": e.epoch, "commit_hash": _hex(e.commit_hash)}),
        n.NotifyStreamTransferred: _Rule("stream.transferred", lambda e: {"new_owner": _hex(e.new_owner)}),
        n.NotifyGrantSeen: _Rule("consent.seen", _nothing),
        n.NotifyGrantFinal: _Rule("consent.live", _nothing),
        n.NotifyGrantVoided: _Rule("consent.voided", _nothing, lasting=True),
        n.NotifyRevoked: _Rule(
            "consent.revoked",
            lambda e: {"account": _hex(e.account), "streams": [_hex(sid) for sid in e.sids]},
            lasting=True,
        ),
        n.NotifyKeyFinal: _Rule("consent.key", lambda e: {"reader_key_hash": _hex(e.reader_key_hash)}),
        n.NotifyConsentEnded: _Rule("consent.ended", _nothing, lasting=True),
        n.NotifyDevicePaired: _Rule("device.paired", lambda e: {"owner": _hex(e.owner), "device": _hex(e.device)}),
        n.NotifyDeviceUnpaired: _Rule("device.unpaired", lambda e: {"owner": _hex(e.owner)}, lasting=True),
        n.NotifyRequestReceived: _Rule("request.received", _nothing, lasting=True),
        n.NotifyRequestGranted: _Rule("request.granted", lambda e: {"grant_id": _hex(e.grant_id)}, lasting=True),
        n.NotifyRequestEnded: _Rule("request.ended", lambda e: {"status": e.status}, lasting=True),
        n.NotifyErased: _Rule("consent.erased", _nothing, lasting=True),
        n.NotifyOrderChanged: _Rule("order.changed", _order),
        n.NotifyTradeMoved: _Rule("trade.moved", lambda e: {"status": e.status}),
        n.NotifyTradeFinal: _Rule("trade.final", lambda e: {"status": e.status}),
        n.NotifyTradeDue: _Rule("trade.due", lambda e: {"step": e.step}, lasting=True),
        n.NotifyTradeProgress: _Rule(
            "trade.progress", lambda e: {"account": _hex(e.account), "wh": e.wh}, lasting=True
        ),
        n.NotifyTwinOpened: _Rule("trade.twin", _nothing, lasting=True),
        n.NotifyTwinForked: _Rule("trade.forked", _nothing, lasting=True),
        n.NotifySourceChanged: _Rule("source.changed", lambda e: {"index": e.index, "minted_mwh": e.minted}),
        n.NotifySubmissionFinal: _Rule("message.final", lambda e: {"message": e.kind}),
        n.NotifySubmissionFailed: _Rule("message.failed", lambda e: {"message": e.kind, "reason": e.reason}),
    }
)
ANNOUNCED: tuple[str, ...] = tuple(sorted(rule.kind for rule in _RULES.values()))
"""Every kind of announcement."""


def announce(event: Event, aggregate: AggregateId, state: State, effects: Sequence[Effect]) -> tuple[Announcement, ...]:
    """What one step of one aggregate is to be announced as; `state` is the one it led to.

    A roll-back announces nothing here: what it takes back was announced before, and is known to whoever kept it.
    """
    if not effects or isinstance(event, LoggedRolledBack):
        return ()
    found = []
    for effect in effects:
        rule = _RULES.get(type(effect))
        if rule is not None:
            block = _block(event, state)
            undo = None if rule.lasting or block is None else block.number
            found.append(Announcement(rule.kind, aggregate, rule.data(effect), block, undo))
    return tuple(found)


def _block(event: Event, state: State) -> Block | None:
    """Where the announced fact stands: in the log's own block, or where what became final now was logged."""
    if isinstance(event, ChainEvent):
        return event.block
    if not isinstance(event, LoggedFinalized):
        return None
    match state:
        case Consent():
            final = [key.block for key in state.keys if key.final]
            later = final and state.granted is not None and final[-1].number > state.granted.number
            return final[-1] if later else state.granted
        case Device():
            return state.paired
        case Submission():
            return state.block
        case Trade():
            facts = state.steps or state.made
            return facts[-1].block if facts else None
        case _:
            return None
