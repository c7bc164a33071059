"""The logs of streams in SQL: functions on one open transaction, used by every way of writing.

`stream` is the row id of the stream. Envelopes come by the thousand, so they are inserted without a look first; when
the database reports a taken place the whole transaction runs once more with `careful`, which reads what is there,
leaves out what is the same and raises StoreConflict with both byte strings for what is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from channels.stores import schema as t
from channels.stores.checks import check_id, check_integers, forked
from channels.stores.records import Capsule, StoredCheckpoint, StoredCommit, StoredEnvelope

__all__ = [
    "add_checkpoints",
    "add_commits",
    "add_envelopes",
    "capsule_of",
    "checkpoint_of",
    "commit_of",
    "drop_capsule",
    "envelope_of",
    "put_capsule",
    "take_positions",
]

_CHUNK = 500
_T = TypeVar("_T")


def take_positions(c: Connection, stream: int, count: int) -> int:
    """Reserve `count` positions; returns the first."""
    statement = update(t.stream).where(t.stream.c.id == stream).values(position=t.stream.c.position + count)
    last: int = c.execute(statement.returning(t.stream.c.position)).scalar_one()
    return last - count + 1


def commit_of(row: Row[Any]) -> StoredCommit:
    """A row of channel_commit."""
    return StoredCommit(row.epoch, row.hash, row.data, row.position)


def envelope_of(row: Row[Any]) -> StoredEnvelope:
    """A row of channel_envelope."""
    return StoredEnvelope(row.epoch, row.slot, row.inst, row.seq, row.hash, row.data, row.position)


def checkpoint_of(row: Row[Any]) -> StoredCheckpoint:
    """A row of channel_checkpoint."""
    count: int = row._mapping["count"]
    return StoredCheckpoint(row.epoch, row.slot, row.inst, row.first_seq, count, row.hash, row.data, row.position)


def capsule_of(row: Row[Any]) -> Capsule:
    """A row of channel_capsule."""
    return Capsule(row.grant_id, row.epoch, row.hash, row.data, row.position)


def add_commits(c: Connection, stream: int, commits: Sequence[StoredCommit]) -> int:
    """Append commits; returns how many were new."""
    for row in commits:
        check_id("a commit hash", row.hash)
        check_integers((row.epoch,))
    kept: dict[int, tuple[bytes, bytes]] = {}
    for some in _chunks(sorted({row.epoch for row in commits})):
        query = select(t.commit.c.epoch, t.commit.c.hash, t.commit.c.data)
        found = c.execute(query.where(t.commit.c.stream == stream, t.commit.c.epoch.in_(some)))
        kept.update({row.epoch: (row.hash, row.data) for row in found})
    fresh: list[StoredCommit] = []
    for row in commits:
        known = kept.get(row.epoch)
        if known is None:
            kept[row.epoch] = (row.hash, row.data)
            fresh.append(row)
        elif known[0] != row.hash:
            raise forked(f"epoch {row.epoch}", known[1], row.data)
    if fresh:
        first = take_positions(c, stream, len(fresh))
        rows = [
            {"stream": stream, "epoch": row.epoch, "position": first + i, "hash": row.hash, "data": row.data}
            for i, row in enumerate(fresh)
        ]
        c.execute(insert(t.commit), rows)
    return len(fresh)


def add_envelopes(c: Connection, stream: int, envelopes: Sequence[StoredEnvelope], careful: bool) -> int:
    """Append envelopes; returns how many were new. Without `careful` a taken place is the database's IntegrityError."""
    for row in envelopes:
        check_id("an envelope hash", row.hash)
        check_id("an instance id", row.inst, 16)
        check_integers((row.epoch, row.slot, row.seq))
    fresh = _new_envelopes(c, stream, envelopes) if careful else list(envelopes)
    if fresh:
        first = take_positions(c, stream, len(fresh))
        rows = [
            {
                "stream": stream,
                "position": first + i,
                "epoch": row.epoch,
                "slot": row.slot,
                "inst": row.inst,
                "seq": row.seq,
                "hash": row.hash,
                "data": row.data,
            }
            for i, row in enumerate(fresh)
        ]
        c.execute(insert(t.envelope), rows)
    return len(fresh)


def _new_envelopes(c: Connection, stream: int, envelopes: Sequence[StoredEnvelope]) -> list[StoredEnvelope]:
    kept: dict[tuple[int, int, bytes, int], tuple[bytes, bytes]] = {}
    for some in _chunks(sorted({row.seq for row in envelopes})):
        for row in c.execute(_same_stream(stream).where(t.envelope.c.seq.in_(some))):
            kept[row.epoch, row.slot, row.inst, row.seq] = (row.hash, row.data)
    fresh: list[StoredEnvelope] = []
    for offered in envelopes:
        key = (offered.epoch, offered.slot, offered.inst, offered.seq)
        known = kept.get(key)
        if known is None:
            kept[key] = (offered.hash, offered.data)
            fresh.append(offered)
        elif known[0] != offered.hash:
            raise forked(f"envelope {offered.seq} of epoch {offered.epoch}", known[1], offered.data)
    return fresh


def _same_stream(stream: int) -> Select[Any]:
    return select(t.envelope).where(t.envelope.c.stream == stream)


def add_checkpoints(c: Connection, stream: int, checkpoints: Sequence[StoredCheckpoint]) -> int:
    """Append checkpoints; returns how many were new."""
    for row in checkpoints:
        check_id("a checkpoint hash", row.hash)
        check_integers((row.epoch, row.slot, row.first_seq, row.count))
    kept: set[bytes] = set()
    for some in _chunks([row.hash for row in checkpoints]):
        query = select(t.checkpoint.c.hash).where(t.checkpoint.c.stream == stream, t.checkpoint.c.hash.in_(some))
        kept.update(c.execute(query).scalars())
    fresh = {row.hash: row for row in checkpoints if row.hash not in kept}
    if fresh:
        first = take_positions(c, stream, len(fresh))
        rows = [
            {
                "stream": stream,
                "position": first + i,
                "epoch": row.epoch,
                "slot": row.slot,
                "inst": row.inst,
                "first_seq": row.first_seq,
                "count": row.count,
                "hash": row.hash,
                "data": row.data,
            }
            for i, row in enumerate(fresh.values())
        ]
        c.execute(insert(t.checkpoint), rows)
    return len(fresh)


def put_capsule(c: Connection, stream: int, capsule: Capsule) -> None:
    """Let a capsule take the place of an older one of its grant."""
    check_id("a grant id", capsule.grant_id)
    here = (t.capsule.c.stream == stream, t.capsule.c.grant_id == capsule.grant_id)
    kept = c.execute(select(t.capsule).where(*here)).one_or_none()
    if kept is not None:
        if kept.epoch > capsule.epoch:
            raise forked(f"a capsule of epoch {kept.epoch}", kept.data, capsule.data)
        if kept.hash == capsule.hash:
            return
        c.execute(delete(t.capsule).where(*here))
    position = take_positions(c, stream, 1)
    values = {"grant_id": capsule.grant_id, "epoch": capsule.epoch, "hash": capsule.hash, "data": capsule.data}
    c.execute(insert(t.capsule).values(stream=stream, position=position, **values))


def drop_capsule(c: Connection, stream: int, grant_id: bytes) -> None:
    """Forget a capsule."""
    c.execute(delete(t.capsule).where(t.capsule.c.stream == stream, t.capsule.c.grant_id == grant_id))


def _chunks(values: Sequence[_T]) -> Iterable[Sequence[_T]]:
    return (values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK))
