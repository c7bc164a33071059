"""What a market shows to those who trade there: prices by time of delivery, contracts one by one, and both live."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from aiohttp import WSMsgType, web
from pydantic import Field

from node.api.operations import Answer, Call, EventStream, Operation, Parameter, Streaming
from node.api.problems import problem_of
from node.api.settlementviews import LevelView
from node.api.values import HashHex, UnixTime, View
from node.api.views import Items
from node.errors import Busy, NodeError, NotFound
from node.observability import current_request_id

__all__ = [
    "LIVE_READERS",
    "MARKET_DATA_OPERATIONS",
    "FillView",
    "LiveReaders",
    "LiveSlotView",
    "MarketDataFacade",
    "MarketWatch",
    "SlotPricesView",
]

LIVE_VERSION: Final = 1
PACE_S: Final = 0.2
"""Between two rounds of news to one reader; what moved several times meanwhile is told once."""
HEARTBEAT_S: Final = 15.0
_MOST_READERS: Final = 64
_MOST_FILLS: Final = 1_000
_DEFAULT_FILLS: Final = 100
_MAX_MESSAGE: Final = 1_024
_END_OF_TIME: Final = 2**40

Times = tuple[int, int]


class SlotPricesView(View):
    """What was traded for one time of delivery. Prices are for one kWh (A-17), `amount` is for all of it."""

    start: UnixTime
    end: UnixTime
    contracts: int
    wh: int = Field(description="energy of all contracts")
    amount: int = Field(description="minor units of all contracts")
    low: int = Field(description="lowest price, minor units per kWh")
    high: int = Field(description="highest price")
    mean: int = Field(description="mean price by energy, rounded down")


class FillView(View):
    """One contract as the price history has it: unit price and total (A-17). `number` pages."""

    number: int
    id: HashHex
    start: UnixTime
    end: UnixTime
    wh: int
    price: int = Field(description="minor units per kWh")
    amount: int = Field(description="minor units for all of it")
    final: bool
    block: int


class LiveSlotView(View):
    """One time of delivery as it is now: the book, the best prices first, and what was traded so far."""

    start: UnixTime
    end: UnixTime
    offers: tuple[LevelView, ...]
    requests: tuple[LevelView, ...]
    prices: SlotPricesView | None


class MarketWatch(Protocol):
    """Collects for one reader which times of delivery moved."""

    @property
    def some(self) -> asyncio.Event: ...

    def take(self) -> tuple[Times, ...]: ...


class MarketDataFacade(Protocol):
    """Raises Refused where this node is no market."""

    def prices(self, since: int, until: int) -> tuple[SlotPricesView, ...]: ...

    async def fills(self, before: int | None, limit: int) -> tuple[FillView, ...]: ...

    def live(self) -> tuple[Times, ...]:
        """The times of delivery for which something is open."""
        ...

    def slot(self, times: Times) -> LiveSlotView: ...

    def watch(self) -> AbstractContextManager[MarketWatch]: ...


class LiveReaders:
    """All readers of live market data of one server. None is dropped for being slow: it is told less often."""

    def __init__(self) -> None:
        self._open = 0
        self._over = asyncio.Event()

    async def close(self, _app: web.Application) -> None:
        """The server ends, and the streams with it."""
        self._over.set()

    async def serve(
        self, facade: MarketDataFacade, request: web.Request, check: Callable[[], Awaitable[None]]
    ) -> web.StreamResponse:
        """One JSON object a message: `hello`, `slot` (first all open ones, then what moves), `heartbeat`, `problem`."""
        if self._open >= _MOST_READERS:
            raise Busy(f"{_MOST_READERS} programs follow this market already.")
        with facade.watch() as watch:
            socket = web.WebSocketResponse(max_msg_size=_MAX_MESSAGE, compress=False)
            await socket.prepare(request)
            self._open += 1
            gone = asyncio.create_task(_drained(socket))
            try:
                with contextlib.suppress(ConnectionResetError):
                    await _say(socket, "hello", {"version": LIVE_VERSION})
                    await self._follow(facade, watch, socket, gone, check)
            finally:
                self._open -= 1
                gone.cancel()
        return socket

    async def _follow(
        self,
        facade: MarketDataFacade,
        watch: MarketWatch,
        socket: web.WebSocketResponse,
        gone: asyncio.Task[None],
        check: Callable[[], Awaitable[None]],
    ) -> None:
        """Everything that is open, then what moves, until the reader or the server goes or the token ends."""
        news = tuple(sorted({*facade.live(), *watch.take()}))
        while True:
            try:
                await check()
            except NodeError as error:
                problem = problem_of(error, current_request_id()).model_dump(mode="json")
                await _say(socket, "problem", {"problem": problem})
                await socket.close(code=1008)
                return
            for times in news:
                await socket.send_str(f'{{"type":"slot","slot":{facade.slot(times).model_dump_json()}}}')
            if await self._ended(gone, PACE_S) or await self._ended(gone, HEARTBEAT_S, watch.some):
                await socket.close(code=1001)
                return
            news = watch.take()
            if not news:
                await _say(socket, "heartbeat", {})

    async def _ended(self, gone: asyncio.Task[None], most: float, sooner: asyncio.Event | None = None) -> bool:
        """Waits so long, or until the event; whether reader or server are gone."""
        over = asyncio.create_task(self._over.wait())
        some = [asyncio.create_task(sooner.wait())] if sooner is not None else []
        try:
            await asyncio.wait({gone, over, *some}, timeout=most, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (over, *some):
                each.cancel()
        return gone.done() or self._over.is_set()


LIVE_READERS: web.AppKey[LiveReaders] = web.AppKey("live_readers", LiveReaders)


async def _drained(socket: web.WebSocketResponse) -> None:
    """Reads until the other side closes; nothing that it says is wanted."""
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            return


async def _say(socket: web.WebSocketResponse, kind: str, rest: dict[str, Any]) -> None:
    await socket.send_str(json.dumps({"type": kind, **rest}, separators=(",", ":")))


def _data(call: Call) -> MarketDataFacade:
    if call.settlement is None:
        raise NotFound("This node settles nothing.")
    data: MarketDataFacade = call.settlement.data
    return data


async def _prices(call: Call) -> Items[SlotPricesView]:
    values = call.values
    return Items(items=_data(call).prices(values.get("start", 0), values.get("end", _END_OF_TIME)))


async def _fills(call: Call) -> Items[FillView]:
    limit = min(call.values.get("limit", _DEFAULT_FILLS), _MOST_FILLS)
    return Items(items=await _data(call).fills(call.values.get("before"), limit))


async def _live(call: Call) -> Answer:
    data = _data(call)
    data.live()  # a node that is no market says so before the connection is turned into a WebSocket

    async def serve(request: web.Request, check: Callable[[], Awaitable[None]]) -> web.StreamResponse:
        return await request.app[LIVE_READERS].serve(data, request, check)

    return Answer(Streaming(serve))


_API = "/api/v1"

# fmt: off
MARKET_DATA_OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", f"{_API}/market/prices", "listPrices", "read", "Prices by time of delivery (market)", _prices,
              Items[SlotPricesView], tag="market",
              parameters=(Parameter("start", "time", "deliveries that begin then or later"),
                          Parameter("end", "time", "deliveries that begin before"))),
    Operation("GET", f"{_API}/market/fills", "listFills", "read",
              "Contracts with unit price and total, the newest first (market)", _fills, Items[FillView], tag="market",
              parameters=(Parameter("before", "number", "the last number of the former page"),
                          Parameter("limit", "count", "at most 1000; 100 by default"))),
    Operation("GET", f"{_API}/market/live", "followMarket", "read",
              "Order book and prices as they move, over WebSocket: first every open time of delivery, then what moves",
              _live, EventStream(LiveSlotView, websocket=True, name="slot"), status=101, tag="market"),
)
# fmt: on
