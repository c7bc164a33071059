"""SQLite's thread: one way there for a statement, and what a transaction is stays as it was."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from node.storage.database import Database, run_together
from node.storage.driver import Statement, connect


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    yield database
    await database.close()


async def _count(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM t"))).scalar_one())


async def _fill(database: Database, count: int) -> None:
    async with database.write() as connection:
        await connection.execute(text("DELETE FROM t"))
        if count:
            await connection.exec_driver_sql("INSERT INTO t VALUES (?)", [(n,) for n in range(count)])


@pytest.mark.parametrize("rows", [0, 1, 999, 1_000, 1_001, 5_000])
async def test_a_result_of_any_length_comes_whole_and_in_order(database: Database, rows: int) -> None:
    await _fill(database, rows)
    async with database.read() as connection:
        query = text("SELECT n FROM t ORDER BY n")
        assert [n for (n,) in (await connection.execute(query)).all()] == list(range(rows))
        assert [n for (n,) in [row async for row in await connection.stream(query)]] == list(range(rows))
        pages = (await connection.stream(query)).partitions(700)
        assert [n async for page in pages for (n,) in page] == list(range(rows))


async def test_a_long_result_is_fetched_as_it_is_asked_for(tmp_path: Path) -> None:
    connection = await connect(str(tmp_path / "a.db"))
    endless = "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c"
    cursor = await connection.cursor().execute(endless)
    assert [await cursor.fetchone() for _ in range(2)] == [(0,), (1,)]
    assert (await cursor.fetchmany(2_500))[-1] == (2_501,)
    await cursor.close()
    await connection.close()


async def test_a_result_that_is_left_lets_the_view_go(database: Database) -> None:
    await _fill(database, 3_000)
    async with database.read() as connection:
        stream = await connection.stream(text("SELECT n FROM t ORDER BY n"))
        assert await stream.first() == (0,)
    async with database.write() as connection:
        await connection.execute(text("DELETE FROM t"))
    assert await _count(database) == 0


async def test_an_error_undoes_the_transaction_and_a_savepoint_only_its_own_part(database: Database) -> None:
    async def twice(connection: AsyncConnection, n: int) -> None:
        await connection.execute(text(f"INSERT INTO t VALUES ({n})"))
        await connection.execute(text(f"INSERT INTO t VALUES ({n})"))

    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await twice(connection, 1)
    assert await _count(database) == 0
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO t VALUES (1)"))
        with pytest.raises(IntegrityError):
            async with connection.begin_nested():
                await twice(connection, 2)
    assert await _count(database) == 1


async def test_a_savepoint_may_come_first(database: Database) -> None:
    async with database.write() as connection:
        with pytest.raises(IntegrityError):
            async with connection.begin_nested():
                await connection.exec_driver_sql("INSERT INTO t VALUES (?)", [(1,), (1,)])
        await connection.execute(text("INSERT INTO t VALUES (7)"))
    assert await _count(database) == 1


async def test_an_empty_transaction_takes_no_lock_and_leaves_none(database: Database, tmp_path: Path) -> None:
    async with database.write():
        pass
    with pytest.raises(ValueError, match="nothing done"):
        async with database.write():
            raise ValueError("nothing done")
    other = sqlite3.connect(tmp_path / "node.db", timeout=0)
    other.execute("INSERT INTO t VALUES (1)")
    other.commit()
    other.close()
    assert await _count(database) == 1


async def test_a_reader_sees_one_view_from_its_first_question_on(database: Database) -> None:
    async with database.read() as connection:
        count = text("SELECT count(*) FROM t")
        assert (await connection.execute(count)).scalar_one() == 0
        await _fill(database, 10)
        assert (await connection.execute(count)).scalar_one() == 0
    assert await _count(database) == 10


async def _broken_off(transaction: AbstractAsyncContextManager[AsyncConnection], statement: str) -> None:
    async with transaction as connection:
        await connection.execute(text(statement))
        raise OSError("stopped")


async def test_nobody_waits_for_the_end_of_a_reading_and_the_next_one_sees_what_was_written(
    database: Database, tmp_path: Path
) -> None:
    """The view ends in the thread, before whatever is asked there next; a write that was refused is undone at once."""
    for number in range(1, 40):
        await _fill(database, number)
        assert {await _count(database) for _ in range(3)} == {number}
        with pytest.raises(OSError, match="stopped"):
            await _broken_off(database.read(), "SELECT n FROM t")
        with pytest.raises(OSError, match="stopped"):
            await _broken_off(database.write(), "DELETE FROM t")
    assert await _count(database) == 39
    # No reading is left open that would keep the log from being taken into the file.
    with sqlite3.connect(tmp_path / "node.db") as other:
        busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy


def _insert(number: int) -> Statement:
    return Statement("INSERT INTO t VALUES (?)", [number])


_SYNCHRONOUS = Statement("PRAGMA synchronous", ())


async def test_who_does_not_wait_for_the_disk_changes_nothing_for_those_who_do(database: Database) -> None:
    """1 is NORMAL, 2 is FULL. What was written without waiting is there for everybody, and what failed is not."""
    await _fill(database, 0)
    for number in range(5):
        assert await database.transact([_insert(number), _SYNCHRONOUS], lasting=False) == [(1,)]
        assert await database.transact([_SYNCHRONOUS]) == [(2,)]
        with pytest.raises(DatabaseError):
            await database.transact([Statement("DELETE FROM t", ()), Statement("no SQL", ())], lasting=False)
        assert await database.transact([_SYNCHRONOUS]) == [(2,)]
        assert await _count(database) == number + 1


async def test_a_refusal_undoes_the_whole_transaction(database: Database) -> None:
    """In a transaction of one piece and in one of several, and the next one begins as if nothing had been."""
    await _fill(database, 3)
    gone = [_insert(9), Statement("DELETE FROM t WHERE n < ?", [2], 3, LookupError("not three"))]
    for _ in range(2):
        with pytest.raises(LookupError, match="not three"):
            await database.transact(gone)
        with pytest.raises(LookupError, match="not three"):
            async with database.write() as connection:
                await run_together(connection, gone)
        assert await _count(database) == 3
    kept = [Statement("DELETE FROM t WHERE n < ?", [2], 2, LookupError("not two")), Statement("SELECT n FROM t", ())]
    assert await database.transact(kept) == [(2,)]


async def test_transactions_of_one_piece_and_of_several_wait_for_each_other(database: Database) -> None:
    """None is lost, and none is refused because another one holds the lock."""
    await _fill(database, 0)

    async def slowly(number: int) -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": number})
            await asyncio.sleep(0.01)

    pieces = (database.transact([_insert(number)], lasting=bool(number % 2)) for number in range(40))
    await asyncio.gather(*pieces, *(slowly(100 + number) for number in range(10)))
    assert await _count(database) == 50


async def test_a_caller_that_is_cancelled_leaves_no_transaction_open(database: Database) -> None:
    await _fill(database, 0)
    calls = [asyncio.create_task(database.transact([_insert(number)])) for number in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await database.transact([_insert(7)])
    assert await _count(database) in (3, 4)


async def test_a_writer_holds_the_lock_from_its_first_statement_on(database: Database, tmp_path: Path) -> None:
    async with database.write() as connection:
        await connection.execute(text("SELECT count(*) FROM t"))
        other = sqlite3.connect(tmp_path / "node.db", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("INSERT INTO t VALUES (1)")
        other.close()


async def test_one_who_stops_waiting_leaves_a_database_that_works(database: Database) -> None:
    async def forever() -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            await asyncio.sleep(60)

    task = asyncio.create_task(forever())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    await _fill(database, 3)
    assert await _count(database) == 3


async def test_errors_of_the_driver_arrive_as_those_of_the_database(database: Database, tmp_path: Path) -> None:
    async with database.read() as connection:
        with pytest.raises(OperationalError, match="no such table"):
            await connection.execute(text("SELECT * FROM nowhere"))
        assert (await connection.execute(text("SELECT 5"))).scalar_one() == 5
    with pytest.raises(sqlite3.OperationalError):
        await connect(str(tmp_path / "no" / "such" / "folder.db"))


async def test_the_counts_of_changes_are_told(database: Database) -> None:
    await _fill(database, 9)
    async with database.write() as connection:
        assert (await connection.execute(text("DELETE FROM t WHERE n < 4"))).rowcount == 4
        found = await connection.execute(text("UPDATE t SET n = n + 100 RETURNING n"))
        assert sorted(n for (n,) in found) == [104, 105, 106, 107, 108]


async def test_no_thread_of_a_connection_keeps_a_process_alive(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    connection = await connect(str(tmp_path / "a.db"))
    assert [thread.daemon for thread in threading.enumerate() if thread not in before] == [True]
    await connection.close()
