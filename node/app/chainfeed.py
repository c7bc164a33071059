"""From the chain into the journal: each batch of the indexer is one transaction, and wakes whoever compares."""

from __future__ import annotations

import asyncio

import structlog

from node.app.core import Core
from node.app.progress import FINAL, Progress, told
from node.app.services import until_stopped
from node.ledger.batch import ChainBatch
from node.ledger.errors import RpcError, WrongChain
from node.projection.events import ChainEvent
from node.projection.submission import Submission
from node.runtime.supervisor import Lifecycle, Service

__all__ = ["ChainFeed"]

_log = structlog.get_logger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
"""Between looks for a chain that does not answer at the start."""
SAY_EVERY_S = 5.0


class ChainFeed:
    """Feeds one node. `caught_up`: the head was reached once since the start; before, no absence of a grant means
    anything. `block` is the newest block whose events were applied: (number, seconds UTC). `progress`: how far a
    longer way to the head is done; None once there."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.block: tuple[int, int] = (0, 0)
        self._heard: tuple[int, float] | None = None
        self.caught_up = False
        self.progress: Progress | None = None
        self._said = 0.0

    def time(self) -> int | None:
        """The chain's time, by its newest head and the seconds that went by since; None before the first head.

        A chain that is not seen says nothing against our own clock, and blocks that are caught up with are old.
        """
        if self._heard is None:
            return None
        timestamp, heard_at = self._heard
        return timestamp + round(self._core.clock.monotonic() - heard_at)

    def service(self) -> Service:
        return Service("chain", self._run)

    async def _run(self, life: Lifecycle) -> None:
        await until_stopped(life, self._follow())

    async def _check(self) -> None:
        """Wait for the chain, and see that it is the one that is meant and has our registry.

        Raises WrongChain or RegistryMismatch, which end the node (exit 3): another chain, or a mistyped address, must
        not look like a registry on which nothing ever happened.
        """
        chain, pause = self._core.chain, FIRST_PAUSE_S
        while True:
            try:
                await chain.rpc.connect()
                await chain.views.check()
                return
            except WrongChain:
                raise
            except RpcError as fault:
                if chain.indexer.fault is None:
                    _log.warning("chain_not_reached", reason=str(fault))
                chain.indexer.fault = fault
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _follow(self) -> None:
        await self._check()
        storage, chain = self._core.storage, self._core.chain
        final = await storage.chain.cursor(FINAL)
        chain.final = final[0] if final else -1
        headers = await storage.chain.load_headers()
        chain.indexer.resume(headers, chain.final)
        tip = chain.indexer.chain.tip
        first = tip.number + 1 if tip is not None else self._core.settings.chain.deploy_block
        self.progress, self._said = Progress.start(first, self._core.clock.monotonic()), self._core.clock.monotonic()
        applying: asyncio.Task[None] | None = None
        try:
            async for batch in chain.indexer.batches():
                if applying is not None:
                    await applying
                applying = asyncio.create_task(self._apply(batch))
                if batch.cursor is None or batch.cursor.number >= batch.head.number:
                    await applying
                # Else the next range is fetched while this one is written. If that fails, everything in memory is left
                # and the reading begins again with what is on disk.
        finally:
            if applying is not None:
                # A write that has begun is not called back: whoever begins again reads what it left on disk.
                await asyncio.gather(applying, return_exceptions=True)

    def _note(self, batch: ChainBatch[ChainEvent]) -> None:
        """Where the way to the head is long, say every few seconds how far it is done."""
        if self.progress is None or batch.cursor is None:
            return
        now = self._core.clock.monotonic()
        self.progress = found = self.progress.after(batch, now)
        there = batch.cursor.number >= batch.head.number
        if now - self._said >= SAY_EVERY_S or (there and now - found.began >= SAY_EVERY_S):
            self._said = now
            _log.info(
                "chain_catching_up",
                blocks=found.done,
                of=found.total,
                events=found.events,
                events_per_s=found.events_per_s,
                left_s=found.left_s,
            )
        if there:
            self.progress = None

    async def _learn_of_late(self, final_time: int) -> None:
        """The final block ends messages whose deadline is over: those that are in a block must be known to be. After a
        time off, the reading of the chain is here before the sender has looked."""
        chain = self._core.chain
        if await self._core.storage.views.overdue(Submission, final_time):
            await chain.sender.look()
            for batches in chain.batches:
                await batches.settle()

    async def _apply(self, batch: ChainBatch[ChainEvent]) -> None:
        if batch.finalized is not None:
            await self._learn_of_late(batch.finalized.timestamp)
        events, update = told(batch)
        await self._core.storage.journal.apply(events, update)
        self._note(batch)
        if batch.rollback_to is not None:
            self._core.chain.sender.look_again()
        if batch.undone_final:
            # Deeper than finality: what acted as final may have been read. The writers remove the leaves by themselves.
            _log.error("reorg_below_finality", ancestor=batch.rollback_to)
            self._core.metrics.alarm("reorg_too_deep")
        if batch.finalized is not None:
            self._core.chain.final = batch.finalized.number
        if batch.cursor is not None:
            if batch.cursor.number >= batch.head.number:
                self.caught_up = True
                self._heard = (batch.cursor.timestamp, self._core.clock.monotonic())
            self.block = (batch.cursor.number, batch.cursor.timestamp)
            self._core.metrics.chain_head_block.set(batch.cursor.number)
        self._core.wake()
