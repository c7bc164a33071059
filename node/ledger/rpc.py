"""Several JSON-RPC endpoints as one: failover, retries, and a cross-check that finds those that lag or lie."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from node.clock import Clock
from node.ledger.endpoint import Endpoint, Pace
from node.ledger.errors import RpcDisagrees, RpcError, RpcGarbled, RpcLags, RpcRefused, RpcUnreachable, WrongChain
from node.ledger.headers import Header
from node.ledger.reader import Asked, ChainReader

__all__ = ["EndpointReport", "Rpc", "RpcOptions"]


@dataclass(frozen=True, slots=True)
class RpcOptions:
    """Limits of the group.

    ``attempts`` rounds over the endpoints per request; ``lag_blocks`` an endpoint may be behind the best;
    ``compare_below`` how far below the lowest head hashes are compared (young blocks differ honestly);
    ``max_head_age`` seconds between a head's timestamp and the clock, None where blocks come only on demand.
    """

    pace: Pace = field(default_factory=Pace)
    attempts: int = 3
    lag_blocks: int = 3
    compare_below: int = 3
    max_head_age: int | None = None


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """What is known of one endpoint: ``name`` has no credentials, ``fault`` is empty when all is well."""

    name: str
    usable: bool
    fault: str


class Rpc(ChainReader):
    """All endpoints of one chain, in the order of trust. ``request`` repeats: send only what may arrive twice.

    Every JSON-RPC call that the ledger makes is safe to repeat; a raw transaction is identified by its own hash.
    """

    def __init__(self, urls: Sequence[str], chain_id: int, clock: Clock, options: RpcOptions | None = None) -> None:
        if not urls:
            raise RpcUnreachable("no RPC endpoint is configured")
        self.options = options or RpcOptions()
        self.chain_id = chain_id
        self._clock = clock
        self._endpoints = tuple(Endpoint(url, chain_id, clock, self.options.pace) for url in urls)

    async def __aenter__(self) -> Rpc:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints:
            await endpoint.close()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints in the configured order."""
        return self._endpoints

    def report(self) -> tuple[EndpointReport, ...]:
        """Say for each endpoint whether it is used and what is wrong with it, for readiness and `doctor`."""
        return tuple(
            EndpointReport(e.name, e.usable and e.fault is None, str(e.fault) if e.fault else "")
            for e in self._endpoints
        )

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """Ask until an endpoint answers, in several rounds. Raises RpcRefused at once, RpcError at the end."""
        return await self._until_answered(lambda endpoint: endpoint.request(method, params))

    async def request_many(self, calls: Sequence[Asked]) -> list[Any]:
        """Ask one endpoint for all, the next one when it fails. Raises RpcError at the end."""
        found: list[Any] = await self._until_answered(lambda endpoint: endpoint.request_many(calls))
        return found

    async def _until_answered(self, ask: Callable[[Endpoint], Awaitable[Any]]) -> Any:
        for attempt in range(self.options.attempts):
            if attempt:
                await self._until_free()
            for endpoint in self._in_order():
                try:
                    answer = await ask(endpoint)
                except RpcRefused:
                    raise
                except RpcError as fault:
                    endpoint.demote(fault)
                else:
                    if not isinstance(endpoint.fault, RpcLags | RpcDisagrees):
                        endpoint.trust()
                    return answer
        raise self._failure()

    async def connect(self) -> Header:
        """Check every endpoint once and return the best head.

        Raises WrongChain when no endpoint is on our chain, RpcUnreachable when none answers.
        """
        await self.cross_check()
        return await self.head()

    async def choose(self) -> Endpoint:
        """Return the endpoint to ask next. Whoever needs answers that fit each other asks one endpoint for all of them.

        Raises RpcUnreachable (or WrongChain) when every endpoint is resting after failures.
        """
        usable = self._in_order()
        if not usable:
            raise self._failure()
        return usable[0]

    def others(self, than: Endpoint) -> tuple[Endpoint, ...]:
        """Return the other endpoints that may be asked for a second opinion now, in the order of trust."""
        return tuple(e for e in self._endpoints if e is not than and e.usable and not isinstance(e.fault, RpcLags))

    def trusted_more(self, one: Endpoint, other: Endpoint) -> bool:
        """Tell whether ``one`` was configured before ``other``."""
        return self._endpoints.index(one) < self._endpoints.index(other)

    async def cross_check(self) -> tuple[EndpointReport, ...]:
        """Compare the endpoints' heads and demote those that lag, serve another chain or contradict the others."""
        asked = [e for e in self._endpoints if e.ready]
        heads = await asyncio.gather(*(self._head_of(e) for e in asked))
        alive = [(e, head) for e, head in zip(asked, heads, strict=True) if head is not None]
        # Lies first: who boasts of a height that nobody else has must not make the honest ones look late.
        honest = await self._demote_liars([e for e, _ in alive], [head for _, head in alive])
        among = [(e, head) for e, head in alive if e in honest]
        for endpoint, head in among:
            if not self._demote_late(endpoint, head, among):
                endpoint.trust()
        return self.report()

    async def _head_of(self, endpoint: Endpoint) -> Header | None:
        """Return the head if the endpoint can show it by height too: a bare claim of a height is not a head."""
        try:
            head = await endpoint.head()
            if await endpoint.block(head.number) is None:
                raise RpcGarbled(f"{endpoint.name} claims head {head.number} but has no such block")
            return head
        except RpcError as fault:
            endpoint.demote(fault)
            return None

    def _demote_late(self, endpoint: Endpoint, head: Header, alive: Sequence[tuple[Endpoint, Header]]) -> bool:
        best = max(other.number for _, other in alive)
        age = self._clock.now() - head.timestamp
        limit = self.options.max_head_age
        if best - head.number > self.options.lag_blocks:
            fault = RpcLags(f"{endpoint.name} is at block {head.number}, {best - head.number} behind another endpoint")
        elif limit is not None and age > limit:
            fault = RpcLags(f"{endpoint.name}: the newest block is {age} s old, more than {limit} s")
        else:
            return False
        endpoint.suspect(fault)
        return True

    async def _demote_liars(self, endpoints: Sequence[Endpoint], heads: Sequence[Header]) -> list[Endpoint]:
        """Demote whoever is outnumbered at one height; of two, the one configured later. Asked twice: reorgs pass."""
        if len(endpoints) < 2:  # nobody to compare with: an earlier contradiction stands until a person decides
            return [e for e in endpoints if not isinstance(e.fault, RpcDisagrees)]
        height = max(0, min(head.number for head in heads) - self.options.compare_below)
        for _ in range(2):
            hashes = await asyncio.gather(*(self._hash_of(e, height) for e in endpoints))
            said = {e: h for e, h in zip(endpoints, hashes, strict=True) if h is not None}
            if len(set(said.values())) <= 1:
                return list(said)
        # Counter keeps the order of first sight among equals, so the earlier configured endpoint wins a tie.
        right = Counter(said.values()).most_common(1)[0][0]
        for endpoint, found in said.items():
            if found != right:
                endpoint.suspect(RpcDisagrees(f"{endpoint.name} has another block {height} than the other endpoints"))
        return [e for e, found in said.items() if found == right]

    async def _hash_of(self, endpoint: Endpoint, height: int) -> bytes | None:
        try:
            found = await endpoint.block(height)
            if found is None:
                raise RpcGarbled(f"{endpoint.name} claims a higher head but has no block {height}")
            return found.header.hash
        except RpcError as fault:
            endpoint.demote(fault)
            return None

    def _in_order(self) -> list[Endpoint]:
        """Return the usable endpoints: those without a fault first, then as configured."""
        return sorted((e for e in self._endpoints if e.usable), key=lambda e: e.fault is not None)

    async def _until_free(self) -> None:
        wait = min(e.free_at for e in self._endpoints) - self._clock.monotonic()
        if wait > 0:
            await asyncio.sleep(min(wait, self.options.pace.longest_pause))

    def _failure(self) -> RpcError:
        faults = [e.fault for e in self._endpoints if e.fault is not None]
        wrong = [f for f in faults if isinstance(f, WrongChain)]
        if wrong and len(wrong) == len(self._endpoints):
            return wrong[0]
        if len(faults) == 1:
            return faults[0]
        return RpcUnreachable("no RPC endpoint can be used: " + "; ".join(str(f) for f in faults))
