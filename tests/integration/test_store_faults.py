"""A failure at every write of a stream's life: an error, and the end of the process, on real databases.

channels.md 4 rule 2 and 6, architecture.md: kill -9 at any point loses nothing and does nothing twice.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from channels.errors import StoreUnavailable
from channels.ggm import Cover
from channels.masters import slot_root
from channels.readings import Measurement, encode_batch
from channels.stores.records import OpenedReading, OpenRecord, PendingReading
from channels.stores.sql import SqlStore
from channels.writer_state import WriterState
from tests.conformance.databases import postgres_server
from tests.support.faults import LOG_KEY, PHASES, READER_KEYS, STORE_KEY, Fault, Life, check, live
from tests.unit.channels.world import GENESIS, masters

EACH_WRITE_S = 3_600
"""Minutes where nothing else runs; each write is a life, and half of them a process, which a busy machine draws out."""


def life_in(folder: Path, url: str | None = None) -> Life:
    folder.mkdir(exist_ok=True)
    return Life(folder, url or f"sqlite+aiosqlite:///{folder}/channels.db")


def run(life: Life, fault: Fault) -> int:
    """The scenario with one fault, the invariants after it; how many writes there were."""
    try:
        asyncio.run(live(life, fault))
        asyncio.run(check(life))
    finally:
        life.close()
    return fault.count


@pytest.fixture(scope="module")
def writes(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many writes the scenario has when nothing fails."""
    count = run(life_in(tmp_path_factory.mktemp("whole")), Fault(0, "before"))
    assert count > 40
    return count


def _killed(life: Life, fault: Fault) -> bool:
    """The scenario in a child process that ends at the fault; whether it came so far."""
    child = os.fork()
    if not child:
        try:
            asyncio.run(live(life, fault))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _kill_and_go_on(folder: Path, at: int, phase: str, url: str | None = None) -> None:
    first = life_in(folder, url)
    killed = _killed(first, Fault(at, phase, kill=True))
    first.close()
    run(life_in(folder, url), Fault(0, "before"))
    assert killed or phase == "inside", "the child was not killed"


@pytest.mark.parametrize("phase", PHASES)
def test_an_error_at_every_write_is_got_over(tmp_path: Path, writes: int, phase: str) -> None:
    for at in range(1, writes + 1, 9):
        fault = Fault(at, phase)
        run(life_in(tmp_path / f"{at}"), fault)
        assert fault.happened or phase == "inside"


@pytest.mark.parametrize("phase", PHASES)
def test_kill_9_at_a_write_is_got_over(tmp_path: Path, writes: int, phase: str) -> None:
    for at in range(2, writes + 1, 19):
        _kill_and_go_on(tmp_path / f"{at}", at, phase)


@pytest.mark.long
@pytest.mark.timeout(EACH_WRITE_S)
@pytest.mark.parametrize("phase", PHASES)
def test_an_error_and_kill_9_at_each_single_write(tmp_path: Path, writes: int, phase: str) -> None:
    for at in range(1, writes + 1):
        run(life_in(tmp_path / f"error-{at}"), Fault(at, phase))
        _kill_and_go_on(tmp_path / f"kill-{at}", at, phase)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_server() as url:
        yield url


async def _empty(url: str) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
    await engine.dispose()


@pytest.mark.parametrize("phase", PHASES)
def test_postgresql_gets_over_the_same(tmp_path: Path, postgres: str, writes: int, phase: str) -> None:
    for at in range(3, writes + 1, 50):
        asyncio.run(_empty(postgres))
        run(life_in(tmp_path / f"error-{at}", postgres), Fault(at, phase))
        asyncio.run(_empty(postgres))
        _kill_and_go_on(tmp_path / f"kill-{at}", at, phase, postgres)


@pytest.mark.long
@pytest.mark.timeout(EACH_WRITE_S)
@pytest.mark.parametrize("phase", PHASES)
def test_postgresql_gets_over_an_error_and_kill_9_at_each_single_write(
    tmp_path: Path, postgres: str, writes: int, phase: str
) -> None:
    for at in range(1, writes + 1):
        asyncio.run(_empty(postgres))
        run(life_in(tmp_path / f"error-{at}", postgres), Fault(at, phase))
        asyncio.run(_empty(postgres))
        _kill_and_go_on(tmp_path / f"kill-{at}", at, phase, postgres)


def _until_the_disk_is_full(life: Life, limit: int) -> None:
    """In a child: no file may grow beyond `limit` bytes, as on a disk that is full."""
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    said = ""
    try:
        asyncio.run(live(life, Fault(0, "before")))
    except (StoreUnavailable, OSError) as error:
        said = str(error)
    finally:
        clear = ("disk is full", "disk I/O error", os.strerror(errno.EFBIG))
        os._exit(3 if any(words in said for words in clear) else 4 if said else 0)


def test_a_full_disk_is_told_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Wherever it fills up: the same stream goes on once there is room, with nothing lost and nothing twice."""
    told = 0
    for limit in (150_000, 200_000, 300_000, 400_000):
        folder = tmp_path / str(limit)
        first = life_in(folder)
        child = os.fork()
        if not child:
            _until_the_disk_is_full(first, limit)
        _, status = os.waitpid(child, 0)
        first.close()
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, 3), "it failed without saying why"
        told += code == 3
        run(life_in(folder), Fault(0, "before"))
    assert told >= 2


def _secrets(life: Life) -> dict[str, bytes]:
    """Plaintext and keys of the scenario that a thief of the disk would look for."""
    found = {"store key": STORE_KEY, "log key": LOG_KEY, "T": masters().tree, "private log": b"entry 1"}
    found |= {f"epoch root {node.level}": node.key for node in masters().epochs}
    for epoch in (1, 2, 3, 4):
        secret = masters().epoch_secret(epoch)
        root = Cover.whole(slot_root(secret, life.params.sid, epoch))
        found |= {f"S_{epoch}": secret} | {f"K_{epoch},{slot}": root.leaf(slot) for slot in range(4)}
    found |= {f"reader {name}": key.to_bytes() for name, key in READER_KEYS.items()}
    return found


async def _tree_keys_and_a_buffered_reading(life: Life) -> dict[str, bytes]:
    store = await SqlStore.open(life.url, STORE_KEY)
    record = await store.writer_record(life.params.sid)
    assert record is not None
    tree = WriterState.from_record(record).tree
    nodes = [(level, index) for level in range(tree.depth + 1) for index in range(1 << (tree.depth - level))]
    keys = {f"node {node}": key for node in nodes if (key := tree.key(*node)) is not None}
    assert keys
    payload = encode_batch([Measurement(GENESIS, GENESIS, 0, {"1-0:1.8.1": 4_711_000 + n}) for n in range(9)])
    await store.add_pending(life.params.sid, [PendingReading(GENESIS, GENESIS, 0, payload)])
    opened = OpenedReading(GENESIS, 0, 1, bytes(16), 1, 0, True, payload)
    await store.record_open(life.params.sid, bytes(32), OpenRecord(payload, (opened,)))
    await store.close()
    return keys | {"a reading": payload}


def _on_disk(folder: Path, secrets: dict[str, bytes]) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) > 10_000
    contents = [path.read_bytes() for path in files]
    return [name for name, secret in secrets.items() if any(secret in content for content in contents)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_is_on_disk_is_ciphertext(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    """Attack: a thief reads the database's files, write-ahead logs included, and looks for readings and keys."""
    url, folder = None, tmp_path / "life"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres")
        asyncio.run(_empty(url))
    life = life_in(folder, url)
    run(life, Fault(0, "before"))
    secrets = _secrets(life) | asyncio.run(_tree_keys_and_a_buffered_reading(life))
    place = folder if url is None else Path(url.partition("host=")[2])
    assert _on_disk(place, secrets) == []
    # What the look would find if it were there: a public value does lie in the files.
    sealed = bytes.fromhex(life.told("data")[0])
    if url is None:
        (folder / "world.jsonl").unlink()
    assert _on_disk(place, {"an envelope": sealed}) == ["an envelope"]
