"""A full disk: real errors from SQLite, a clear message, nothing half done, and it goes on when there is room again."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from node.app.progress import told
from node.clock import SystemClock
from node.ledger.finality import Finality
from node.ledger.indexer import Indexer, IndexerOptions
from node.ledger.logs import Watched
from node.ledger.registry import RegistryDecoder
from node.ledger.sender import Sender, SenderOptions
from node.ledger.stored import StoredTransactions
from node.ledger.transaction import TxState
from node.runtime.devnet.deploy import deploy_registry
from node.storage.chain import ChainStore
from node.storage.database import Database
from node.storage.errors import StorageFull
from node.storage.journal import Journal
from node.storage.schema import states
from node.storage.transactions import TransactionRows
from tests.support.anvil import anvil
from tests.support.fullchain import fill
from tests.support.processes import PATIENCE
from tests.support.sending import World, decoder, key, world

pytestmark = pytest.mark.chain


class Limited:
    """Files cannot grow beyond what the database's log has now: the write fails with EFBIG, as it does with ENOSPC."""

    def __init__(self, folder: Path) -> None:
        self._limit = (folder / "node.db-wal").stat().st_size

    def __enter__(self) -> None:
        self._signal = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._limit, self._before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)
        signal.signal(signal.SIGXFSZ, self._signal)


def sender_on(w: World, database: Database, folder: Path) -> Sender:
    store = StoredTransactions(TransactionRows(database))
    return Sender(
        w.rpc, w.chain.signers[0], store, w.clock, decoder, SenderOptions(folder, Finality(1), idle_pause=0.0)
    )


async def test_a_full_disk_stops_the_sender_with_a_clear_error_and_nothing_half_done(tmp_path: Path) -> None:
    async with world(tmp_path / "lock") as w:
        database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
        async with sender_on(w, database, tmp_path) as sender:
            await sender.submit(key("before"), w.call(b"before"))
            await sender.submit(key("queued"), w.call(b"queued"))
            with Limited(tmp_path):
                with pytest.raises(StorageFull) as full:
                    await sender.submit(key("refused"), w.call(b"refused"))
                assert "disk" in str(full.value)
                assert "room" in full.value.remedy
                with pytest.raises(StorageFull):
                    await sender.step()
            assert await w.words() == []
            await w.chain.mine()
            assert await w.nonce() == 0, "nothing was broadcast that could not be saved"
            assert await sender.find(key("refused")) is None
            assert sender.open_count == 2
            # There is room again.
            await sender.submit(key("refused"), w.call(b"refused"))
            for _ in range(3):
                await sender.step()
                await w.chain.mine()
            assert await w.words() == [b"before", b"queued", b"refused"]
            assert await w.nonce() == 3
        await database.close()


async def test_the_loop_waits_for_room_and_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path / "lock") as w:
        database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
        async with sender_on(w, database, tmp_path) as sender:
            await sender.submit(key("a"), w.call(b"a"))
            with Limited(tmp_path):
                loop = asyncio.create_task(sender.run())
                async with asyncio.timeout(PATIENCE):
                    while sender.fault is None:  # noqa: ASYNC110  (the loop tells nobody)
                        await asyncio.sleep(0.01)
                assert isinstance(sender.fault, StorageFull)
            async with asyncio.timeout(PATIENCE):
                await sender.wait(key("a"), TxState.SENT)
            loop.cancel()
        await database.close()


async def test_a_full_disk_stops_the_reading_of_the_chain_and_skips_nothing(tmp_path: Path) -> None:
    """The batch that could not be written is told again, whole, once there is room."""
    async with anvil() as chain:
        registry = await deploy_registry(chain.rpc, payer=chain.signers[3].address)
        database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
        journal = Journal(database, SystemClock())
        watched = Watched((registry.address,), registry.block)
        indexer = Indexer(chain.rpc, watched, RegistryDecoder(), Finality(1), SystemClock(), IndexerOptions(poll=0.01))

        async def follow() -> None:
            """As the node does: asking for the next batch says that the last one is stored."""
            headers = await ChainStore(database).load_headers()
            indexer.resume(headers)
            async for batch in indexer.batches():
                await journal.apply(*told(batch))
                if batch.cursor == await chain.head():
                    return

        await follow()
        await fill(chain, registry.address, 60, 20)
        before = await ChainStore(database).load_headers()
        with Limited(tmp_path), pytest.raises(StorageFull):
            await follow()
        assert await ChainStore(database).load_headers() == before
        assert await journal.verify() == 0, "nothing of the batch is there"
        await follow()
        head = await chain.head()
        logs = await chain.rpc.logs([registry.address], registry.block, head.number)
        async with database.read() as connection:
            kept = (await connection.execute(select(func.count()).select_from(states))).scalar_one()
        assert len(logs) >= 60
        assert await journal.verify() >= len(logs)
        assert kept > 30
        await journal.close()
        await database.close()


def test_sqlite_reports_a_device_without_space_as_full(tmp_path: Path) -> None:
    """ENOSPC itself, from a file system of one megabyte, where this machine lets us mount one."""
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True)
    program = (
        "import asyncio, sys\n"
        "from node.storage.database import Database\nfrom node.storage.errors import StorageFull\n"
        "from node.storage.transactions import TransactionRow, TransactionRows\n"
        "async def main():\n"
        "    database = await Database.open('sqlite:///' + sys.argv[1])\n"
        "    rows = TransactionRows(database)\n"
        "    try:\n"
        "        for n in range(100):\n"
        "            row = TransactionRow(1, b's' * 20, bytes([n]) * 32, n, 'sent', False, 1, 'x' * 50_000)\n"
        "            await rows.save([row])\n"
        "    except StorageFull as full:\n"
        "        print('full', n, len(await rows.unfinished(1, b's' * 20)))\n"
        "    await database.close()\n"
        "asyncio.run(main())\n"
    )
    limit = None if mount.returncode == 0 else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "node.db")],
            capture_output=True,
            text=True,
            timeout=180,
            preexec_fn=limit,
        )
    finally:
        if mount.returncode == 0:
            subprocess.run(["umount", str(tmp_path)], check=True)
    word, failed, kept = done.stdout.split()
    assert word == "full", done.stderr
    assert int(failed) == int(kept) > 0, "what was acknowledged is there, what failed is not"
