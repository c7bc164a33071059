"""Publication cursors in SQL: what no transport has acknowledged yet."""

from __future__ import annotations

from sqlalchemy import Connection, Select, insert, literal, select, union_all, update

from channels.errors import StoreNotFound
from channels.stores import schema as t
from channels.stores.records import LogKind, Unpublished

__all__ = ["cursors", "mark", "waiting"]


def cursors(c: Connection, stream: int) -> dict[LogKind, int]:
    """The cursor of every kind."""
    rows = c.execute(select(t.cursor.c.kind, t.cursor.c.position).where(t.cursor.c.stream == stream))
    found = {LogKind(row.kind): int(row.position) for row in rows}
    return {kind: found.get(kind, 0) for kind in LogKind}


def waiting(c: Connection, stream: int, limit: int) -> tuple[Unpublished, ...]:
    """The first records behind the cursor of their kind, over all kinds by position."""
    behind = cursors(c, stream)
    tables = {
        LogKind.COMMITS: t.commit,
        LogKind.CAPSULE: t.capsule,
        LogKind.DATA: t.envelope,
        LogKind.CHECKPOINTS: t.checkpoint,
    }
    parts: list[Select[tuple[str, int, bytes, bytes]]] = []
    for kind, table in tables.items():
        key = table.c.grant_id if kind is LogKind.CAPSULE else literal(b"")
        part = select(literal(kind.value).label("kind"), table.c.position, key.label("key"), table.c.data)
        part = part.where(table.c.stream == stream, table.c.position > behind[kind], table.c.data != b"")  # not emptied
        # Each part is cut before they are joined, so a long backlog costs no more than a short one.
        cut = part.order_by(table.c.position).limit(limit).subquery()
        parts.append(select(cut.c.kind, cut.c.position, cut.c.key, cut.c.data))
    rows = c.execute(union_all(*parts).order_by("position").limit(limit))
    return tuple(Unpublished(LogKind(row.kind), row.position, row.key, row.data) for row in rows)


def mark(c: Connection, stream: int, kind: LogKind, position: int) -> None:
    """Move the cursor of a kind forward."""
    newest: int = c.execute(select(t.stream.c.position).where(t.stream.c.id == stream)).scalar_one()
    if position > newest:
        raise StoreNotFound(f"nothing was recorded at position {position}")
    here = (t.cursor.c.stream == stream, t.cursor.c.kind == kind.value)
    known = c.execute(select(t.cursor.c.position).where(*here)).scalar_one_or_none()
    if known is None:
        c.execute(insert(t.cursor).values(stream=stream, kind=kind.value, position=position))
    elif position > known:
        c.execute(update(t.cursor).where(*here).values(position=position))
