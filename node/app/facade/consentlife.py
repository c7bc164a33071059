"""What became of a consent: its steps in order of time, and how much its reader got under it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from channels.stores.records import ALL, ReadingRange
from node.api.views import ConsentStepView, ConsentStreamView
from node.app.core import Core
from node.projection.asking import Asking
from node.projection.base import ALL_STREAMS, AggregateId
from node.projection.consent import Consent, ConsentStatus, reduce_consent
from node.projection.request import Request
from node.projection.stream import Stream
from node.services.gateway.members import OWNER

__all__ = ["delivered", "life_of"]

Step = Literal["asked", "shown", "granted", "on_chain", "live", "key_renewed", "revoked", "voided", "ended", "undone"]
_STATUS: Final[dict[ConsentStatus, Step]] = {
    ConsentStatus.NONE: "undone",
    ConsentStatus.SEEN: "on_chain",
    ConsentStatus.LIVE: "live",
    ConsentStatus.REVOKED: "revoked",
    ConsentStatus.VOIDED: "voided",
    ConsentStatus.ENDED: "ended",
}
_PAGE: Final = 500


async def life_of(core: Core, grant_id: bytes) -> tuple[ConsentStepView, ...]:
    """From the request on, by this node's clock. The chain's part is told again from the journal: the same events
    through the same reducer, so nothing of it can differ from what the node acted on."""
    views = core.storage.views
    steps = [ConsentStepView(at=at, step=step) for at, step in await _asking(core, grant_id)]
    consent, after = Consent(grant_id), 0
    while page := await views.history(AggregateId("consent", grant_id), after=after, limit=_PAGE):
        for entry in page:
            before, consent = consent, reduce_consent(consent, entry.event).state
            steps += _between(before, consent, entry.recorded_at)
        after = page[-1].seq
    return tuple(steps)


async def _asking(core: Core, grant_id: bytes) -> list[tuple[int, Step]]:
    views = core.storage.views
    found: list[tuple[int | None, Step]] = []
    for _, request in await views.page(Request, link=("grant", grant_id), limit=1):
        found += [(request.received_at, "asked"), (request.shown_at, "shown"), (request.decided_at, "granted")]
    for _, asking in await views.page(Asking, link=("grant", grant_id), limit=1):
        found += [(asking.asked_at, "asked"), (asking.answered_at, "granted")]
    return [(at, step) for at, step in found if at is not None]


def _between(before: Consent, after: Consent, at: int) -> Iterator[ConsentStepView]:
    if after.status is not before.status:
        yield ConsentStepView(at=at, step=_STATUS[after.status])
    elif before.terms is not None:
        for sid in before.open_sids:
            if sid not in after.open_sids:
                yield ConsentStepView(at=at, step="revoked", sid=sid)
    final = [sum(key.final for key in each.keys) for each in (before, after)]
    if final[1] > final[0]:
        yield ConsentStepView(at=at, step="key_renewed")


async def _shut_at(core: Core, state: Consent, sid: bytes) -> int:
    """An epoch that a revoked reader has no key of: the first one, while it is among the newest that the stream's state
    holds. By blocks, since after a rebuild the clock's time of a revocation is that of the rebuild."""
    blocks = [each.block.number for each in state.revocations if each.block and each.sid in (ALL_STREAMS, sid)]
    if not blocks:
        return ALL[1]
    stream = await core.storage.views.one(Stream, sid)
    return min((commit.epoch for commit in stream.commits if commit.block.number >= min(blocks)), default=ALL[1])


async def delivered(
    core: Core, state: Consent, views: tuple[ConsentStreamView, ...], *, given: bool
) -> tuple[ConsentStreamView, ...]:
    """The streams of a consent with what went to its reader: on the household's node what it has itself of the slots
    that the reader's keys open; on the reader's node what was opened."""
    found = []
    steps = await life_of(core, state.grant_id) if given else ()
    for view in views:
        ends = [step.at for step in steps if step.step in ("revoked", "voided") and step.sid in (None, view.sid)]
        revoked = min(ends, default=None)
        grant_id, within = state.grant_id, ReadingRange()
        if given:
            grant_id = OWNER
            slots = (view.first_slot or 0, ALL[1] if view.end_slot is None else view.end_slot)
            until = ALL[1] if revoked is None else revoked
            within = ReadingRange((0, until), slots, (0, await _shut_at(core, state, view.sid)))
        span = await core.storage.channels.reading_span(view.sid, grant_id, within)
        found.append(
            view.model_copy(
                update={
                    "readings": span.count,
                    "first_reading_at": span.first,
                    "last_reading_at": span.last,
                    "revoked_at": revoked,
                }
            )
        )
    return tuple(found)
