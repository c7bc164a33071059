"""What a node hands out for `wattpact verify`: headers, the stream's events and its log, as an ExportView.

Nothing in it is secret beyond what relays see anyway: commits and envelopes are sealed, keys are public ones. Sizes and
times of envelopes show when somebody is at home, so it is for those who may read the stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from channels.slots import StreamParams
from channels.stores.base import LogStore
from channels.stores.records import StoredCheckpoint, StoredCommit, StoredEnvelope
from node.api.views import ExportView
from node.app.commands.exported import (
    EVENTS,
    ChannelLog,
    ExportedHeader,
    ExportedStreamKey,
    event_to_json,
    header_to_json,
    log_to_json,
)
from node.errors import InvalidInput
from node.projection.base import Event
from node.projection.events import ChainEvent, LoggedRolledBack

__all__ = ["HeaderLike", "build_export", "events_of", "heights_needed", "read_log"]

_PAGE: Final = 1000


class HeaderLike(Protocol):
    """A block header; 32-byte hashes, timestamp in seconds UTC."""

    @property
    def number(self) -> int: ...
    @property
    def hash(self) -> bytes: ...
    @property
    def parent(self) -> bytes: ...
    @property
    def timestamp(self) -> int: ...


def events_of(history: Iterable[Event]) -> tuple[ChainEvent, ...]:
    """The events of one stream that stand on the chain now, from its journal history (`Views.history`), oldest first.

    What a reorganisation took away is left out; an event that was told twice stands once.
    """
    standing: list[ChainEvent] = []
    known = tuple(EVENTS.values())
    for event in history:
        if isinstance(event, LoggedRolledBack):
            standing = [each for each in standing if each.block.number <= event.ancestor_height]
        elif isinstance(event, known) and event not in standing[-_PAGE:]:
            standing.append(event)
    return tuple(standing)


def heights_needed(events: Iterable[ChainEvent]) -> tuple[int, ...]:
    """The blocks whose headers an export needs at least, ascending; all between them make a stronger one."""
    return tuple(sorted({event.block.number for event in events}))


async def read_log(
    store: LogStore, params: StreamParams, *, newest: int = 20_000, keys: Sequence[ExportedStreamKey] = ()
) -> ChannelLog:
    """All commits, the newest envelopes and the checkpoints over them. `keys`: of earlier writers, if there were any.

    An answer over REST has a limit; a reader that wants more asks the store, or the writer, itself.
    """
    sid = params.sid
    commits: list[StoredCommit] = []
    while page := await store.commits(sid, commits[-1].epoch + 1 if commits else 0, _PAGE):
        commits += page
    last = await store.last_envelope(sid)
    first_seq = max(1, last.seq - newest + 1) if last else 1
    envelopes: list[StoredEnvelope] = []
    for start in range(first_seq, last.seq + 1 if last else 0, _PAGE):
        # The room beyond a page is for forks, which have several envelopes with one number.
        envelopes += await store.envelopes_by_seq(sid, start, start + _PAGE - 1, 4 * _PAGE)
    checkpoints: list[StoredCheckpoint] = []
    after = 0
    while found := await store.checkpoints(sid, after, _PAGE):
        checkpoints += [each for each in found if each.first_seq + each.count > first_seq]
        after = found[-1].position
    own = ExportedStreamKey(params.ed25519_public, params.ml_dsa_public, params.signed_envelopes)
    return ChannelLog(
        (*(key for key in keys if key != own), own),
        tuple(commit.data for commit in commits),
        tuple(dict.fromkeys(each.data for each in sorted(envelopes, key=lambda each: each.seq))),
        tuple(dict.fromkeys(each.data for each in checkpoints)),
    )


def build_export(
    params: StreamParams, headers: Iterable[HeaderLike], events: Sequence[ChainEvent], log: ChannelLog
) -> ExportView:
    """Pure. `headers` in any order, the same one more than once; `events` as `events_of` returns them.

    Chain id and registry come from the stream's domain. Raises InvalidInput for a domain without a contract.
    """
    registry = params.domain.verifying_contract
    if registry is None:
        raise InvalidInput("The stream's domain names no registry.", field="registry")
    by_number = {header.number: header for header in headers}
    entries: list[ExportedHeader] = []
    for number in sorted(by_number):
        header = by_number[number]
        linked = bool(entries) and entries[-1].number == number - 1 and entries[-1].hash == header.parent
        entries.append(ExportedHeader(number, header.hash, header.parent, header.timestamp, linked))
    return ExportView(
        chain_id=params.domain.chain_id,
        registry=registry,
        sid=params.sid,
        headers=tuple(header_to_json(entry) for entry in entries),
        events=tuple(event_to_json(event) for event in events if type(event) in EVENTS.values()),
        log=tuple(log_to_json(log)),
    )
