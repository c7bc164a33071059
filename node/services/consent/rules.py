"""Pure rules of a decision: what of a request may be granted, and the Grant that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keys.messages import Grant, Revoke
from keys.sealing import reader_key_hash
from node.services.consent.errors import ConsentRefused, UnknownRequest
from node.services.consent.text import ConsentText, Scope
from node.types import OPEN_END
from node.wire.consents import ConsentRequest

__all__ = ["GRANT_VALID_SECONDS", "OwnedStream", "Wish", "build_grant", "build_revoke", "choose_scope"]

GRANT_VALID_SECONDS = 24 * 3600
"""A signed Grant may be put on chain for a day after signing (contracts.md)."""


@dataclass(frozen=True, slots=True)
class OwnedStream:
    """A stream of this household: 32-byte id, category, genesis in seconds UTC, slot length in seconds, and from when
    on it is this household's, seconds UTC: 0 for one that no other had before."""

    sid: bytes
    category: str
    genesis: int
    slot_seconds: int
    since: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """How the person narrows a request; None leaves what was asked."""

    streams: tuple[str, ...] | None = None
    start: int | None = None
    end: int | None = None


def choose_scope(request: ConsentRequest, wish: Wish, owned: Sequence[OwnedStream], now: int) -> Scope:
    """The scope to grant: never wider than asked, only streams that exist, at least one whole slot.

    Raises UnknownRequest when the request has ended, ConsentRefused with the field otherwise.
    """
    if request.expires <= now:
        raise UnknownRequest("this request has expired", remedy="ask the provider to send it again", field="request_id")
    streams = request.streams if wish.streams is None else wish.streams
    foreign = [name for name in streams if name not in request.streams]
    if foreign:
        raise ConsentRefused(
            f"{', '.join(foreign)} was not asked for", remedy="grant only streams of the request", field="streams"
        )
    if not streams:
        raise ConsentRefused("no stream is left to grant", remedy="deny the request instead", field="streams")
    have = {stream.category: stream for stream in owned}
    missing = [name for name in streams if name not in have]
    if missing:
        raise ConsentRefused(
            f"this household has no stream {', '.join(missing)}",
            remedy=f"grant a part: --streams {','.join(n for n in streams if n in have) or '(none of them exists)'}",
            field="streams",
        )
    # The registry takes no grant that begins before a transfer.
    start = max(request.start, wish.start or 0, *(have[name].since for name in streams))
    end = request.end if wish.end is None else min(wish.end, request.end)
    if end != OPEN_END and end <= now and start >= now:
        raise ConsentRefused("the interval lies in the past", remedy="choose a later end", field="end")
    for name in streams:
        _require_whole_slot(have[name], start, end)
    return Scope(tuple(streams), start, end)


def _require_whole_slot(stream: OwnedStream, start: int, end: int) -> None:
    # channels.md 1: the slots of a grant are those that it covers wholly.
    first = max(0, -((stream.genesis - start) // stream.slot_seconds))
    if end != OPEN_END and first >= (end - stream.genesis) // stream.slot_seconds:
        raise ConsentRefused(
            f"{stream.category} is keyed in slots of {stream.slot_seconds} s and the interval holds no whole slot",
            remedy="choose a longer interval",
            field="end",
        )


def build_grant(
    owner: bytes,
    request: ConsentRequest,
    scope: Scope,
    sids: Sequence[bytes],
    text: ConsentText,
    nonce: int,
    now: int,
) -> Grant:
    """The Grant to sign: one consent, one signature, all its streams."""
    return Grant(
        owner=owner,
        reader=request.reader,
        reader_key_hash=reader_key_hash(request.reader_key),
        sids=tuple(sids),
        start=scope.start,
        end=scope.end,
        purpose_tag=request.purpose_tag,
        text_hash=text.digest,
        nonce=nonce,
        deadline=now + GRANT_VALID_SECONDS,
    )


def build_revoke(account: bytes, grant_id: bytes, sid: bytes | None = None) -> Revoke:
    """The Revoke of one stream of a grant, or of all of them."""
    return Revoke(account=account, grant_id=grant_id, sid=sid or bytes(32))
