"""The indexer: follows the head, links headers, reads logs and hands out batches, each for one storage transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import structlog

from node.clock import Clock
from node.ledger.batch import ChainBatch, Entry
from node.ledger.endpoint import Endpoint
from node.ledger.errors import (
    BrokenBranch,
    ChainError,
    DeepReorg,
    LedgerError,
    LogRefused,
    RpcError,
    RpcGarbled,
    RpcPruned,
    RpcRefused,
    UnknownParent,
)
from node.ledger.finality import Finality
from node.ledger.headers import WINDOW, Behind, Header, HeaderChain, RolledBack
from node.ledger.logs import LogCheck, Watched
from node.ledger.ports import HeaderLike, LogDecoder
from node.ledger.rpc import Rpc
from node.ledger.wire import Block, RawLog

__all__ = ["Indexer", "IndexerOptions"]

E = TypeVar("E")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IndexerOptions:
    """``poll`` and ``longest_pause`` in seconds; ranges in blocks; a batch has at most ``many_logs``, unless
    one block has more. Near the head ``near_range`` blocks are read at once, so that one part is read while the part
    before it is written."""

    poll: float = 0.2
    longest_pause: float = 5.0
    cross_check_every: float = 5.0
    first_range: int = 1_000
    largest_range: int = 10_000
    near_range: int = 24
    window: int = WINDOW
    many_logs: int = 10_000


@dataclass(frozen=True, slots=True)
class _Found(Generic[E]):
    """A batch that was not accepted yet, and the chain that it leads to."""

    batch: ChainBatch[E]
    chain: HeaderChain


class Indexer(Generic[E]):
    """Reads one contract's logs. ``step`` reads, ``accept`` moves on: what was not accepted is read again."""

    def __init__(
        self,
        rpc: Rpc,
        watched: Watched,
        decoder: LogDecoder[E],
        finality: Finality,
        clock: Clock,
        options: IndexerOptions | None = None,
    ) -> None:
        self.options = options or IndexerOptions()
        self.fault: LedgerError | None = None
        self.head: Header | None = None
        self.behind = 0
        self.recovered = 0
        self.rescans = 0
        self._rpc = rpc
        self._watched = watched
        self._finality = finality
        self._clock = clock
        self._logs = LogCheck(watched, decoder)
        self._chain = HeaderChain(limit=self.options.window)
        self._finalized: Header | None = None
        self._final_height = -1
        self._range = self.options.first_range
        self._checked_at: float | None = None
        self._told = asyncio.Event()

    @property
    def start_block(self) -> int:
        """The block that the reading begins with when nothing is stored."""
        return self._watched.start_block

    @property
    def chain(self) -> HeaderChain:
        """The header window as accepted so far."""
        return self._chain

    async def at_head(self) -> bool:
        """Whether the newest block is the last one that was read. Raises RpcError."""
        head = await (await self._rpc.choose()).head()
        return self._chain.tip is not None and self._chain.tip.hash == head.hash

    @property
    def unknown_logs(self) -> int:
        """How many logs of the contract this version could not decode."""
        return self._logs.unknown

    def resume(self, headers: Iterable[HeaderLike], finalized: int = -1) -> None:
        """Start from stored headers (oldest first): the newest linked run counts, its last header is the cursor."""
        run: list[Header] = []
        for row in headers:
            header = Header(row.number, row.hash, row.parent, row.timestamp)
            if run and (header.number != run[-1].number + 1 or header.parent != run[-1].hash):
                run = []
            run.append(header)
        self._chain = HeaderChain(tuple(run[-self.options.window :]), self.options.window)
        self._final_height = finalized
        self._finalized = None

    async def batches(self) -> AsyncGenerator[ChainBatch[E], None]:
        """Yield batches for ever. Asking for the next one says that the last one is stored.

        Endpoint failures are kept in ``fault`` and retried with growing pauses; they never end the loop.
        """
        pause = self.options.poll
        while True:
            try:
                found = await self._step()
                self.fault = None
                pause = self.options.poll
            except (RpcError, ChainError) as fault:
                if self.fault is None:
                    _log.warning("chain_step_failed", reason=str(fault))
                self.fault = fault
                pause = min(max(pause * 2, 0.5), self.options.longest_pause)
                found = None
            if found is None:
                await self._next_look(pause)
                continue
            yield found.batch
            self._accept(found)

    def look_now(self) -> None:
        """A new block was told: do not wait for the next turn."""
        self._told.set()

    async def _next_look(self, pause: float) -> None:
        try:
            async with asyncio.timeout(pause):
                await self._told.wait()
        except TimeoutError:
            pass
        self._told.clear()

    async def step(self) -> ChainBatch[E] | None:
        """Read once and move on at once; None when nothing is new. For callers that store before they ask again."""
        found = await self._step()
        if found is None:
            return None
        self._accept(found)
        return found.batch

    def _accept(self, found: _Found[E]) -> None:
        self._chain = found.chain
        self._finalized = found.batch.finalized
        if found.batch.rescan or found.batch.undone_final:
            self._final_height = -1
        if found.batch.finalized is not None:
            self._final_height = max(self._final_height, found.batch.finalized.number)

    async def _step(self) -> _Found[E] | None:
        await self._cross_check()
        endpoint = await self._rpc.choose()
        try:
            found = await self._read(endpoint, head := await endpoint.head())
            self.head = head  # not before: a head that leads nowhere must not look like news of the chain
            return found
        except RpcError as fault:  # a refusal too: what is asked here any node answers that can serve us
            endpoint.demote(fault)
            raise
        except LogRefused as fault:  # a reorg between two answers looks the same once, so it rests, it is not banned
            endpoint.demote(RpcGarbled(f"{endpoint.name}: {fault}"))
            raise

    async def _cross_check(self) -> None:
        now = self._clock.monotonic()
        if self._checked_at is None or now - self._checked_at >= self.options.cross_check_every:
            self._checked_at = now
            await self._rpc.cross_check()

    async def _read(self, endpoint: Endpoint, head: Header) -> _Found[E] | None:
        tip = self._chain.tip
        if tip is not None and head.hash == tip.hash:
            _require_same(endpoint, head, tip)
            return await self._only_finality(endpoint, head)
        start = self._watched.start_block if tip is None else tip.number + 1
        if tip is None and head.number < start:
            return None
        if head.number - start >= self.options.window:
            return await self._far(endpoint, head, start)
        return await self._near(endpoint, head, start)

    async def _only_finality(self, endpoint: Endpoint, head: Header) -> _Found[E] | None:
        finalized = await self._final_header(endpoint, head, self._chain, self._final_height)
        if finalized is None or finalized == self._finalized:
            return None
        return _Found(ChainBatch((), (), head, head, finalized, self._lowest(self._chain)), self._chain)

    async def _near(self, endpoint: Endpoint, head: Header, start: int) -> _Found[E] | None:
        """Read every header from the tip towards the head, and down to the common ancestor after a reorganisation."""
        if head.number >= start:
            last = min(head.number, start + self.options.near_range - 1)
            blocks = await self._all(endpoint, range(start, last + 1))
        else:
            blocks = await self._one(endpoint, head)
        if blocks[-1].header.number == head.number:
            _require_same(endpoint, head, blocks[-1].header)
        while True:
            try:
                chain, outcome = self._chain.place([block.header for block in blocks])
                break
            except UnknownParent as gap:
                parent = await endpoint.block(gap.parent)
                if parent is None:
                    raise BrokenBranch(f"{endpoint.name} does not have the parent of its block {gap.number}") from gap
                blocks.insert(0, parent)
            except DeepReorg as deep:
                return self._start_over(head, deep)
        if isinstance(outcome, Behind):
            self.behind += 1
            return None
        added = set(outcome.added)
        fresh = [block for block in blocks if block.header in added]
        entries = await self._entries_near(endpoint, chain, fresh)
        undone = isinstance(outcome, RolledBack) and outcome.ancestor.number < self._final_height
        finalized = await self._final_header(endpoint, head, chain, -1 if undone else self._final_height)
        batch = ChainBatch(entries, outcome.added, chain.tip, head, finalized, self._lowest(chain))
        if isinstance(outcome, RolledBack):
            _log.warning(
                "chain_reorganised", depth=len(outcome.dropped), ancestor=outcome.ancestor.number, final=undone
            )
            batch = replace(batch, rollback_to=outcome.ancestor.number, undone_final=undone)
        return _Found(batch, chain)

    async def _far(self, endpoint: Endpoint, head: Header, start: int) -> _Found[E] | None:
        """A range of old logs, without all headers; ends far enough below the head for the window to be linked anew."""
        if self._chain.tip is not None:
            lost = await self._lost_tip(endpoint, head)
            if lost is not None:
                return lost
        last = min(start + self._range - 1, head.number - self.options.window)
        try:
            logs = await endpoint.logs(self._watched.addresses, start, last)
        except RpcRefused as refusal:
            self._narrow(endpoint, start, last, refusal)
            return None
        self._range = min(self._range * 2, self.options.largest_range)
        # What one transaction takes in must not grow with the chain: the rest of the range is read again.
        logs, last = _at_most(self.options.many_logs, logs, last)
        numbers = sorted({log.block_number for log in logs if start <= log.block_number < last} | {last})
        known = {block.header.number: block.header for block in await self._all(endpoint, numbers)}
        end = known[last]
        entries = self._logs.entries(self._logs.checked(logs, known))
        chain = HeaderChain((end,), self.options.window)
        finalized = await self._final_header(endpoint, head, chain, self._final_height)
        return _Found(ChainBatch(entries, (end,), end, head, finalized, end.number), chain)

    async def _lost_tip(self, endpoint: Endpoint, head: Header) -> _Found[E] | None:
        """Roll back before a long catch-up when the chain left our tip while this node was away."""
        for header in reversed(self._chain.headers):
            if (await self._must(endpoint, header.number)).hash == header.hash:
                if header == self._chain.tip:
                    return None
                keep = tuple(h for h in self._chain.headers if h.number <= header.number)
                undone = header.number < self._final_height
                batch: ChainBatch[E] = ChainBatch((), (), header, head, None, keep[0].number, header.number)
                return _Found(replace(batch, undone_final=undone), HeaderChain(keep, self.options.window))
        return self._start_over(head, DeepReorg("the whole header window is gone from the chain"))

    def _start_over(self, head: Header, fault: DeepReorg) -> _Found[E]:
        _log.error("chain_scanned_again", reason=str(fault), start=self._watched.start_block)
        self.rescans += 1
        batch: ChainBatch[E] = ChainBatch((), (), None, head, None)
        batch = replace(
            batch, rollback_to=self._watched.start_block - 1, rescan=True, undone_final=self._final_height >= 0
        )
        return _Found(batch, HeaderChain(limit=self.options.window))

    async def _entries_near(
        self, endpoint: Endpoint, chain: HeaderChain, fresh: Sequence[Block]
    ) -> tuple[Entry[E], ...]:
        if not fresh:
            return ()
        first, last = fresh[0].header.number, fresh[-1].header.number
        known = {block.header.number: block.header for block in fresh}
        logs = self._logs.checked(await self._young_logs(endpoint, first, last), known)
        for block in self._logs.suspects(fresh, logs):
            missing = await self._ask_again(endpoint, block)
            logs = self._logs.checked([*logs, *missing], known)
        return self._logs.entries(logs)

    async def _young_logs(self, endpoint: Endpoint, first: int, last: int) -> list[RawLog]:
        """The logs of a range that fits into the window, in as many answers as the endpoint makes of it."""
        found: list[RawLog] = []
        while first <= last:
            end = min(last, first + self._range - 1)
            try:
                found += await endpoint.logs(self._watched.addresses, first, end)
            except RpcRefused as refusal:
                self._narrow(endpoint, first, end, refusal)
            else:
                first = end + 1
        return found

    def _narrow(self, endpoint: Endpoint, first: int, last: int, refusal: RpcRefused) -> None:
        """Ask for fewer next time: most endpoints cap blocks or results. Raises RpcPruned when one alone is refused."""
        if first == last:
            raise RpcPruned(f"{endpoint.name} does not give the logs of block {first}: {refusal.reason}") from refusal
        self._range = max(1, (last - first + 1) // 2)

    async def _ask_again(self, endpoint: Endpoint, block: Block) -> tuple[RawLog, ...]:
        """Ask for one block by its hash, every endpoint in turn; whoever has logs is right: the header says so.

        Raises RpcError when none of them answers: then nobody knows whether there are logs.
        """
        answered, failed = False, None
        for other in (endpoint, *(e for e in self._rpc.endpoints if e is not endpoint and e.usable)):
            try:
                logs = await other.logs_of_block(self._watched.addresses, block.header.hash)
            except RpcError as fault:
                failed = failed or fault
                continue
            answered = True
            if logs:
                self.recovered += 1
                _log.warning("chain_logs_left_out", block=block.header.number, by=endpoint.name, found=other.name)
                return logs
        if failed is not None and not answered:
            raise failed
        return ()

    async def _final_header(self, endpoint: Endpoint, head: Header, chain: HeaderChain, floor: int) -> Header | None:
        """Return the newest final header whose logs were told; finality never moves back by itself."""
        tip = chain.tip
        if tip is None:
            return None
        height = min(max(await self._finality.height(endpoint, head), floor), tip.number)
        if height < 0:
            return None
        return chain.at(height) or await self._must(endpoint, height)

    async def _must(self, endpoint: Endpoint, number: int) -> Header:
        (found,) = await self._all(endpoint, [number])
        return found.header

    async def _all(self, endpoint: Endpoint, numbers: Sequence[int]) -> list[Block]:
        """Blocks at or below the head. Raises RpcPruned for what the endpoint does not have, and so cannot tell of."""
        try:
            asked = await endpoint.blocks(numbers)
        except RpcRefused as refusal:
            where = f"a block from {min(numbers)} on"
            raise RpcPruned(f"{endpoint.name} does not give {where}: {refusal.reason}") from refusal
        found = [block for block in asked if block is not None]
        if len(found) < len(numbers):
            missing = min(number for number, block in zip(numbers, asked, strict=True) if block is None)
            raise RpcPruned(f"{endpoint.name} does not have block {missing}, which is below its head")
        return found

    async def _one(self, endpoint: Endpoint, head: Header) -> list[Block]:
        found = await endpoint.block(head.hash)
        if found is None:
            raise BrokenBranch(f"{endpoint.name} no longer has the block it called its head")
        return [found]

    @staticmethod
    def _lowest(chain: HeaderChain) -> int:
        return chain.headers[0].number if chain.headers else 0


def _require_same(endpoint: Endpoint, head: Header, seen: Header) -> None:
    """Raises BrokenBranch for another block (a reorganisation between two answers), RpcGarbled for other contents."""
    if seen.hash != head.hash:
        raise BrokenBranch(f"{endpoint.name} calls another block its head than it shows at height {head.number}")
    if seen != head:
        raise RpcGarbled(f"{endpoint.name} shows its head, block {head.number}, in two versions")


def _at_most(limit: int, logs: tuple[RawLog, ...], last: int) -> tuple[tuple[RawLog, ...], int]:
    """The logs of the lowest blocks that hold no more than so many (one block at least), and the last of these."""
    if len(logs) <= limit:
        return logs, last
    heights = sorted(log.block_number for log in logs)
    end = max(heights[limit] - 1, heights[0])
    return tuple(log for log in logs if log.block_number <= end), min(end, last)
