"""The chain's half of `wattpact verify`: headers that link, events in them, and what they say about the stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keys.ids import stream_id
from node.app.commands.exported import ExportedHeader
from node.app.commands.judgement import Judgement
from node.cli.factories import Finding
from node.projection.base import ADDRESS_ZERO
from node.projection.events import (
    ChainEvent,
    LoggedCommitted,
    LoggedStreamRegistered,
    LoggedStreamTransferred,
    LoggedWriterSet,
)
from node.types import address_to_text, to_hex

__all__ = ["ChainSays", "Entitled", "Place", "read_chain"]

_FALSE = "Do not rely on it: ask for a new export, and compare the hashes of its blocks with the chain."


@dataclass(frozen=True, slots=True)
class Entitled:
    """Who may write: the address that signs commits, and the hash of the key that signs checkpoints."""

    writer: bytes
    stream_key_hash: bytes


@dataclass(slots=True)
class ChainSays:
    """What the events say. `commits` by epoch: the hash, and who was entitled when the chain took it."""

    commits: dict[int, tuple[bytes, Entitled]] = field(default_factory=dict)
    entitled: Entitled | None = None
    owner: bytes = ADDRESS_ZERO


@dataclass(frozen=True, slots=True)
class Place:
    """Which stream of which registry on which chain the export claims to be about."""

    chain_id: int
    registry: bytes
    sid: bytes


def read_chain(
    place: Place, headers: Sequence[ExportedHeader], events: Sequence[ChainEvent]
) -> tuple[list[Finding], ChainSays]:
    """Findings about headers, events and the stream, and what the events say."""
    blocks = {header.number: header for header in headers}
    says, stream = _stream(place, events)
    return [_headers(headers), _events(place.sid, events, blocks), stream], says


def _headers(headers: Sequence[ExportedHeader]) -> Finding:
    judge = Judgement("headers", _FALSE)
    ends: list[ExportedHeader] = []
    before: ExportedHeader | None = None
    for header in headers:
        if before is not None and header.number <= before.number:
            judge.fault(f"block {header.number} comes after block {before.number}")
        elif before is not None and header.timestamp < before.timestamp:
            judge.fault(f"block {header.number} is older than block {before.number}")
        if header.linked:
            if before is None or before.number != header.number - 1 or before.hash != header.parent:
                judge.fault(f"block {header.number} does not follow the block before it")
            ends[-1:] = [header]
        else:
            if before is not None and before.number == header.number - 1:
                judge.fault(f"block {header.number} has another parent than the block before it")
            ends.append(header)
        before = header
    if not headers:
        judge.fault("there are none")
    if len({header.hash for header in headers}) != len(headers):
        judge.fault("two blocks have one hash")
    compare = ", ".join(f"{end.number} {to_hex(end.hash)}" for end in ends[-3:])
    runs = "one linked run" if len(ends) == 1 else f"{len(ends)} linked runs"
    return judge.finding(f"{len(headers)} in {runs}; compare with the chain: {compare}")


def _events(sid: bytes, events: Sequence[ChainEvent], blocks: Mapping[int, ExportedHeader]) -> Finding:
    judge = Judgement("events", _FALSE)
    height = 0
    for event in events:
        name = type(event).__name__.removeprefix("Logged")
        header = blocks.get(event.block.number)
        if header is None:
            judge.fault(f"{name} in block {event.block.number}, whose header is missing")
        elif header.hash != event.block.hash:
            judge.fault(f"{name} in another block {event.block.number} than the header says")
        if event.block.number < height:
            judge.fault(f"{name} of block {event.block.number} comes after an event of block {height}")
        height = event.block.number
        if getattr(event, "sid", sid) != sid:
            judge.fault(f"{name} in block {event.block.number} is about another stream")
    if not events:
        judge.fault("there are none")
    return judge.finding(f"{len(events)}, each in a block of the headers")


def _stream(place: Place, events: Sequence[ChainEvent]) -> tuple[ChainSays, Finding]:
    """Follows the events as the contract made them; what it would never have done is a fault."""
    judge, says = Judgement("stream", _FALSE), ChainSays()
    for event in events:
        where = f"in block {event.block.number}"
        if isinstance(event, LoggedStreamRegistered):
            if says.entitled is not None:
                judge.fault(f"registered twice, again {where}")
            if stream_id(place.chain_id, place.registry, event.owner, event.name_hash) != place.sid:
                judge.fault("the stream id does not follow from chain, registry, owner and name")
            says.owner, says.entitled = event.owner, Entitled(event.writer, event.stream_key_hash)
        elif says.entitled is None:
            judge.fault(f"{type(event).__name__.removeprefix('Logged')} {where}, before the registration")
        elif isinstance(event, LoggedWriterSet):
            says.entitled = Entitled(event.writer, event.stream_key_hash)
        elif isinstance(event, LoggedStreamTransferred):
            if event.owner != says.owner:
                judge.fault(f"transferred {where} by somebody who does not own it")
            says.owner = event.new_owner
        elif isinstance(event, LoggedCommitted):
            _commit(judge, says, event, says.entitled)
    if says.entitled is None:
        judge.fault("it is not registered")
    return says, judge.finding(f"owner {address_to_text(says.owner)}, epochs 1 to {len(says.commits)} on chain")


def _commit(judge: Judgement, says: ChainSays, event: LoggedCommitted, entitled: Entitled) -> None:
    if event.epoch != len(says.commits) + 1:
        judge.fault(f"epoch {event.epoch} in block {event.block.number} follows epoch {len(says.commits)}")
    if entitled.writer == ADDRESS_ZERO:
        judge.fault(f"epoch {event.epoch} was committed in block {event.block.number} while nobody might write")
    if event.epoch not in says.commits:
        says.commits[event.epoch] = (event.commit_hash, entitled)
