"""`wattpact rebuild`: brings the database to the head of the chain, from nothing if asked to, and shows how far it is.

The node itself does the same at its start. This command does nothing else: no broker, no interface, no transaction. So
a database can be made anew, or a long absence be made up for, before the node is started.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from channels.errors import FolderLocked
from channels.guard import FolderLock
from keys.identity import Identity
from node.app.core import open_chain, open_storage
from node.app.datadir import DataDir, open_identity
from node.app.progress import FINAL, Progress, told
from node.cli import RebuildOptions
from node.clock import Clock, SystemClock
from node.config import LoadedConfig, Settings, keystore_passphrase
from node.errors import Busy, ConfigError, UsageError
from node.ledger.indexer import Indexer
from node.projection.events import ChainEvent
from node.storage.chain import ChainStore
from node.storage.journal import Journal

__all__ = ["catch_up", "rebuild"]

Show = Callable[[Progress], None]


def rebuild(config: LoadedConfig, options: RebuildOptions) -> dict[str, object]:
    """Raises Busy while a node runs on the folder, UsageError where a database cannot be put aside."""
    settings = config.settings
    passphrase = keystore_passphrase(settings)
    if passphrase is None:
        raise ConfigError("The keystore's passphrase is needed.", remedy="Set node.passphrase_file.")
    folder = DataDir.of(settings)
    lock = FolderLock(folder.root)
    try:
        lock.__enter__()
    except FolderLocked as taken:
        raise Busy(f"{taken}.", remedy="Stop the node first.") from taken
    try:
        aside = _put_aside(settings) if options.anew else None
        _, identity = open_identity(folder, passphrase)
        found = asyncio.run(_rebuild(settings, folder, identity, options.quiet))
    finally:
        lock.__exit__(None, None, None)
    return {**found, "former": aside}


def _put_aside(settings: Settings) -> str | None:
    """Rename the database. What only it holds (tokens, subscriptions, webhooks) stays in the renamed one."""
    if settings.storage.url is not None and not settings.storage.url.startswith("sqlite"):
        raise UsageError("Only an SQLite database can be put aside.", remedy="Empty the PostgreSQL database yourself.")
    path = settings.node.data_dir / "wattpact.db"
    if not path.exists():
        return None
    former = path.with_name(f"wattpact.db.{int(time.time())}")
    for ending in ("", "-wal", "-shm"):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(former.with_name(former.name + ending))
    return str(former)


async def _rebuild(settings: Settings, folder: DataDir, identity: Identity, quiet: bool) -> dict[str, object]:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        folder.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        storage = await open_storage(stack, settings, folder, identity, clock)
        chain = await open_chain(stack, settings, folder, identity, storage, clock)
        await chain.rpc.connect()
        await chain.views.check()
        # Nobody carries out effects here: they wait in the outbox for the node, as after a crash.
        with _bar(quiet) as show:
            found = await catch_up(chain.indexer, storage.journal, storage.chain, clock, show)
        return {
            "blocks": found.done,
            "head": found.head,
            "events": found.events,
            "events_per_s": found.events_per_s,
            "seconds": round(found.now - found.began, 1),
        }


@contextmanager
def _bar(quiet: bool) -> Iterator[Show]:
    """A bar on stderr where that is a terminal, else nothing."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} events/s"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("blocks", total=None, rate=0)

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.done, total=progress.total, rate=progress.events_per_s)

        yield show


async def catch_up(
    indexer: Indexer[ChainEvent], journal: Journal, store: ChainStore, clock: Clock, show: Show
) -> Progress:
    """Read from where the database stands to the head; the next range is fetched while one is written."""
    final = await store.cursor(FINAL)
    indexer.resume(await store.load_headers(), final[0] if final else -1)
    tip = indexer.chain.tip
    progress = Progress.start(tip.number + 1 if tip is not None else indexer.start_block, clock.monotonic())
    if await indexer.at_head():
        return progress
    writing: asyncio.Task[object] | None = None
    async for batch in indexer.batches():
        if writing is not None:
            await writing
        events, update = told(batch)
        writing = asyncio.create_task(journal.apply(events, update))
        progress = progress.after(batch, clock.monotonic())
        show(progress)
        if batch.cursor is not None and batch.cursor.number >= batch.head.number:
            break
    if writing is not None:
        await writing
    return progress
