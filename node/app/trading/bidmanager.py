"""`wattpact bids run`: the market's book as a program of its own, without keys, chain or database.

It is told of orders under `/bids/offer`, `/bids/request` and `/bids/remove`, and tells the market at `/market/match`
what it would match. It binds nobody: the market checks every proposal against the signed orders. What it holds is
gone when it ends; the market notices and tells it everything anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
import structlog

from node.app.mutual import MutualServer, Tls
from node.app.stopping import say, stop_signals
from node.cli.factories import BidsOptions
from node.clock import Clock, SystemClock
from node.config import Listen
from node.errors import UsageError
from node.observability import configure_logging
from node.runtime.backoff import Backoff
from node.services.market.conditions import Condition, Particulars
from node.services.market.engine import Quote, Slot
from node.services.market.engines import load_engine
from node.services.market.remote import BidBook, Command, Proposal
from node.wire.bids import AuctionHeld, BidPlaced, BidRemoved, GateClosed, MatchProposed

__all__ = ["BidManager", "run_bids"]

_log = structlog.get_logger(__name__)

TICK_S = 1.0


class BidManager:
    """One book, or auctions, for one market. `market`: where it takes matches, https."""

    def __init__(self, listen: Listen, tls: Tls, book: BidBook, market: str, clock: Clock) -> None:
        self._book = book
        self._tls = tls
        self._market = market.rstrip("/")
        self._clock = clock
        self._waiting: deque[Proposal] = deque()
        self._some = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._http: aiohttp.ClientSession | None = None
        self.server = MutualServer(
            listen,
            tls,
            "market",
            {
                ("POST", "/bids/offer"): lambda raw: self._place(raw, sells=True),
                ("POST", "/bids/request"): lambda raw: self._place(raw, sells=False),
                ("POST", "/bids/remove"): self._remove,
                ("POST", "/bids/gate"): self._gate,
                ("GET", "/bids/session"): self._session,
            },
        )

    async def start(self) -> None:
        """Raises CertificateInvalid, Busy."""
        await self.server.start()
        self._http = self._tls.client()
        self._tasks = [asyncio.ensure_future(self._send()), asyncio.ensure_future(self._tick())]

    async def close(self) -> None:
        await self.server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    # From the market

    async def _place(self, raw: Any, *, sells: bool) -> Mapping[str, Any]:
        """M-23, M-24."""
        body = BidPlaced.model_validate(raw)
        what = Particulars(
            body.area or "",
            body.energy_kind or "",
            body.partner or b"",
            tuple(
                Condition(frozenset(c.partners), frozenset(c.areas), frozenset(c.energies), c.price, c.wh)
                for c in body.conditions
            ),
        )
        quote = Quote(body.transaction, body.account, sells, body.price, body.energy, body.place, body.matched, what)
        return self._take(body, quote)

    async def _remove(self, raw: Any) -> Mapping[str, Any]:
        """M-25."""
        return self._take(BidRemoved.model_validate(raw), None)

    def _take(self, body: BidRemoved, quote: Quote | None) -> Mapping[str, Any]:
        slot = Slot(body.start, body.end, body.gate)
        self._propose(self._book.take(body.session, Command(body.number, slot, body.transaction, quote)))
        return {}

    async def _gate(self, raw: Any) -> Mapping[str, Any]:
        """The auction of a delivery: its result is the answer, whole."""
        body = GateClosed.model_validate(raw)
        slot = Slot(body.start, body.end, body.gate)
        found = self._book.take(body.session, Command(body.number, slot, b"", gate=True))
        fault = "; ".join(self._book.faults)[:500]
        self._propose([])
        return AuctionHeld(matches=tuple(_proposed(each) for each in found), fault=fault).to_json()

    async def _session(self, _: Any) -> Mapping[str, Any]:
        session, number = self._book.state
        return {"session": "0x" + session.hex(), "number": number}

    # To the market

    def _propose(self, found: list[Proposal]) -> None:
        for fault in self._book.faults:
            _log.error("engine_failed", reason=fault)
        self._book.faults.clear()
        self._waiting.extend(found)
        self._some.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._propose(self._book.tick(self._clock.now()))

    async def _send(self) -> None:
        """In the order in which they were found; a market that is silent is told again."""
        backoff, failures = Backoff(0.2, 5.0), 0
        while True:
            while self._waiting:
                if await self._sent(self._waiting[0]):
                    self._waiting.popleft()
                    failures = 0
                else:
                    failures += 1
                    await asyncio.sleep(backoff.delay(failures))
            self._some.clear()
            await self._some.wait()

    async def _sent(self, proposal: Proposal) -> bool:
        """False to try again. What the market will not have is over: it knows the orders, and says what holds."""
        assert self._http is not None  # noqa: S101 (started before)
        body = _proposed(proposal).to_json()
        try:
            async with self._http.post(self._market + "/market/match", json=body, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.warning("market_unreachable", reason=str(error))
            return False
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("market_unreachable", status=status)
            return False
        if status != HTTPStatus.OK:
            _log.warning("match_not_taken", status=status)
        return True


def _proposed(proposal: Proposal) -> MatchProposed:
    fill = proposal.fill
    return MatchProposed(
        session=proposal.session,
        offer=fill.offer,
        offer_number=proposal.offer_number,
        request=fill.request,
        request_number=proposal.request_number,
        energy=fill.wh,
        price=fill.price,
    )


def run_bids(options: BidsOptions) -> None:
    """Until SIGTERM or SIGINT. Says on stdout where it listens. Raises ConfigError, UsageError, Busy."""
    configure_logging("info", "console")
    if not options.market.startswith("https://"):
        raise UsageError("The market takes matches over https.", remedy="Name its [bids] listen address as https://...")
    asyncio.run(_serve(options, BidBook(load_engine(options.engine))))


async def _serve(options: BidsOptions, book: BidBook) -> None:
    tls = Tls(options.tls, "bids")
    with stop_signals() as stop:
        manager = BidManager(options.listen, tls, book, options.market, SystemClock())
        await manager.start()
        try:
            say(f"bid manager: https://{Listen(options.listen.host, manager.server.port)}")
            await stop.wait()
        finally:
            await manager.close()
