"""A real HTTP server in front of an RPC node that is slow, silent, wrong or behind, as real RPC nodes are."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import ClientSession, web

__all__ = ["RpcProxy", "rpc_proxy"]

# (method, params, answer of the node) -> answer to give.
Rewrite = Callable[[str, list[Any], dict[str, Any]], dict[str, Any]]


class RpcProxy:
    """Passes JSON-RPC on. Change the fields while it runs.

    ``delay`` seconds before each answer; ``status`` an HTTP error instead of an answer; ``drop`` closes the connection;
    ``garbage`` bytes instead of an answer; ``frozen`` a height above which nothing exists here yet (the node lags);
    ``rewrite`` changes answers; ``swallow`` methods that are acknowledged by nobody: they never reach the node;
    ``failing`` (method, how) fails every request with this method: silent, closed, garbage, error or status;
    ``lose_answers`` methods that reach the node while their answer does not come back;
    ``batches`` the most calls that it takes in one request, 0 for none at all. ``seen`` counts calls by method,
    ``requests`` HTTP requests, ``largest`` is the longest batch.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = ""
        self.delay = 0.0
        self.status = 0
        self.drop = False
        self.garbage = b""
        self.frozen: int | None = None
        self.rewrite: Rewrite | None = None
        self.swallow: dict[str, Any] = {}
        self.batches: int | None = None
        self.failing: tuple[str, str] | None = None
        self.lose_answers: set[str] = set()
        self._stopping = asyncio.Event()
        self.seen: Counter[str] = Counter()
        self.requests = 0
        self.largest = 0
        self._session: ClientSession | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        calls = body if isinstance(body, list) else [body]
        self.requests += 1
        self.largest = max(self.largest, len(calls))
        self.seen.update(str(call["method"]) for call in calls)
        methods = {str(call["method"]) for call in calls}
        if self.failing is not None and self.failing[0] in methods:
            return await self._fail(request, self.failing[1], calls)
        if methods & self.lose_answers:
            await self._pass_on(body)
            return await self._fail(request, "closed", calls)
        if self.delay:
            with suppress(TimeoutError):  # it is late, and does not keep a proxy that ends waiting
                await asyncio.wait_for(self._stopping.wait(), self.delay)
        if self.drop:
            assert request.transport is not None
            request.transport.close()
            return web.Response(status=500)
        if self.status:
            return web.Response(status=self.status)
        if self.garbage:
            return web.Response(body=self.garbage, content_type="application/json")
        if isinstance(body, list):
            if self.batches is not None and len(body) > self.batches:
                too_many = {"code": -32600, "message": "batch too large"}
                return web.json_response({"jsonrpc": "2.0", "id": None, "error": too_many})
            return web.json_response(await self._answer_many(body))
        return web.json_response(await self._answer(body))

    async def _fail(self, request: web.Request, how: str, calls: list[dict[str, Any]]) -> web.StreamResponse:
        if how == "silent":
            await self._stopping.wait()
        if how == "closed":
            assert request.transport is not None
            request.transport.close()
        if how == "garbage":
            return web.Response(body=b"<html>", content_type="application/json")
        if how == "error":
            error = {"code": -32603, "message": "internal error"}
            answers = [{"jsonrpc": "2.0", "id": call["id"], "error": error} for call in calls]
            return web.json_response(answers if len(answers) > 1 else answers[0])
        return web.Response(status=503)

    async def _answer_many(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Without anything to change the node answers the batch itself; else each call is looked at on its own."""
        if not self.swallow and self.frozen is None and self.rewrite is None:
            answers: list[dict[str, Any]] = await self._pass_on(calls)
            return answers
        return [await self._answer(call) for call in calls]

    async def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        method, params = str(call["method"]), list(call.get("params") or [])
        if method in self.swallow:
            return {"jsonrpc": "2.0", "id": call["id"], "result": self.swallow[method]}
        if self.frozen is not None:
            if _above(params, self.frozen):
                return {"jsonrpc": "2.0", "id": call["id"], "result": None}
            params = _frozen(params, self.frozen)
        answer: dict[str, Any] = await self._pass_on(call | {"params": params})
        if self.rewrite is not None:
            answer = self.rewrite(method, params, answer) | {"id": call["id"]}
        return answer

    async def _pass_on(self, body: Any) -> Any:
        assert self._session is not None
        async with self._session.post(
            self.target, data=json.dumps(body), headers={"Content-Type": "application/json"}
        ) as r:
            return await r.json()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RpcProxy]:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/{tail:.*}", self.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        async with ClientSession() as self._session:
            try:
                yield self
            finally:
                self._stopping.set()
                await runner.cleanup()


def _above(params: list[Any], height: int) -> bool:
    return (
        bool(params)
        and isinstance(params[0], str)
        and len(params[0]) < 18
        and _is_hex(params[0])
        and int(params[0], 16) > height
    )


def _is_hex(text: str) -> bool:
    return text.startswith("0x")


def _frozen(params: list[Any], height: int) -> list[Any]:
    """A node that lags knows nothing above ``height``: neither by tag nor in ranges of logs."""
    frozen = [hex(height) if param in ("latest", "pending") else param for param in params]
    for index, param in enumerate(frozen):
        if isinstance(param, dict) and "toBlock" in param:
            last = min(int(param["toBlock"], 16), height)
            frozen[index] = param | {"toBlock": hex(last), "fromBlock": hex(min(int(param["fromBlock"], 16), last))}
    return frozen


@asynccontextmanager
async def rpc_proxy(target: str) -> AsyncIterator[RpcProxy]:
    """Start a proxy in front of ``target`` on a free port."""
    async with RpcProxy(target).running() as proxy:
        yield proxy
