"""How the SQL store finds a stream, changes it in one transaction and lists its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Table, insert, select
from sqlalchemy.exc import IntegrityError

from channels.errors import StoreConflict
from channels.stores import schema as t
from channels.stores.checks import check_id, check_limit
from channels.stores.sealed import StoreSeal
from channels.stores.sql_engine import Database

__all__ = ["SqlBase"]

_R = TypeVar("_R")


class SqlBase:
    """One open database and the key of its values."""

    def __init__(self, database: Database, seal: StoreSeal) -> None:
        self._db = database
        self._seal = seal
        self._ids: dict[bytes, int] = {}

    def _find(self, c: Connection, sid: bytes) -> int:
        """The row id of a stream, 0 when nothing of it is here."""
        check_id("a sid", sid)
        if sid not in self._ids:
            found = c.execute(select(t.stream.c.id).where(t.stream.c.sid == sid)).scalar_one_or_none()
            if found is None:
                return 0
            self._ids[sid] = found
        return self._ids[sid]

    async def _change(self, sid: bytes, change: Callable[[Connection, int, bool], _R]) -> _R:
        check_id("a sid", sid)

        def attempt(careful: bool) -> Callable[[Connection], _R]:
            return lambda c: change(c, self._stream_row(c, sid), careful)

        try:
            return await self._db.write(attempt(False))
        except IntegrityError:
            pass
        try:
            return await self._db.write(attempt(True))
        except IntegrityError as error:
            raise StoreConflict(f"another process wrote the same place: {error.orig}") from error

    @staticmethod
    def _stream_row(c: Connection, sid: bytes) -> int:
        check_id("a sid", sid)
        query = select(t.stream.c.id).where(t.stream.c.sid == sid).with_for_update()
        row_id: int | None = c.execute(query).scalar_one_or_none()
        if row_id is None:
            values = insert(t.stream).values(sid=sid, position=0, pending_id=0).returning(t.stream.c.id)
            row_id = c.execute(values).scalar_one()
        return row_id

    async def _read_of(self, sid: bytes, read: Callable[[Connection, int], _R]) -> _R:
        return await self._db.read(lambda c: read(c, self._find(c, sid)))

    async def _list(
        self,
        sid: bytes,
        table: Table,
        convert: Callable[[Row[Any]], _R],
        where: ColumnElement[bool] | None,
        order: tuple[ColumnElement[Any], ...],
        limit: int | None,
    ) -> tuple[_R, ...]:
        if limit is not None:
            check_limit(limit)

        def read(c: Connection, stream: int) -> tuple[_R, ...]:
            query = select(table).where(table.c.stream == stream).order_by(*order).limit(limit)
            rows = c.execute(query if where is None else query.where(where))
            return tuple(convert(row) for row in rows.all())  # a value that does not open must leave no cursor behind

        return await self._read_of(sid, read)
