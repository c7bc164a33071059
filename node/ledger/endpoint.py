"""One JSON-RPC endpoint over HTTP: deadlines, strict answers, the chain id checked before anything is believed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import ClientConnectorError, ClientError, ClientResponseError, ClientSession, ClientTimeout

from node.clock import Clock
from node.ledger import wire
from node.ledger.errors import RpcDisagrees, RpcError, RpcGarbled, RpcRefused, RpcUnreachable, WrongChain
from node.ledger.reader import Asked, ChainReader

__all__ = ["Endpoint", "Pace"]

_HEADERS: Final = {"Content-Type": "application/json"}
# Calls in one JSON-RPC batch to begin with; what common endpoints take.
_AT_ONCE = 100
# Single calls at one time where it takes no batches.
_PARALLEL = 8
# Answers of HTTP servers to a body that is too long for them.
_TOO_LARGE = frozenset({400, 413, 431})


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the client is, in seconds: one request, the first and the longest pause after failures."""

    timeout: float = 5.0
    pause: float = 0.5
    longest_pause: float = 10.0


class Endpoint(ChainReader):
    """One endpoint. ``request`` asks exactly once; who repeats and who is asked next is decided by the group."""

    def __init__(self, url: str, chain_id: int, clock: Clock, pace: Pace | None = None) -> None:
        self.url = url
        self.name = _without_secrets(url)
        self.chain_id = chain_id
        self._clock = clock
        self._pace = pace or Pace()
        self._session: ClientSession | None = None
        self._ids = itertools.count(1)
        self._verified = False
        self._failures = 0
        self._free_at = 0.0
        self._at_once = _AT_ONCE
        self.fault: RpcError | None = None

    @property
    def free_at(self) -> float:
        """The monotonic moment from which on this endpoint may be asked again after a failure."""
        return self._free_at

    @property
    def ready(self) -> bool:
        """Tell whether the endpoint may be asked now."""
        return self._clock.monotonic() >= self._free_at

    @property
    def usable(self) -> bool:
        """Tell whether its answers may be used: it is not resting and does not contradict the other endpoints."""
        return self.ready and not isinstance(self.fault, RpcDisagrees)

    def suspect(self, fault: RpcError) -> None:
        """Remember what the cross-check found; the endpoint is asked last (lags) or not at all (disagrees)."""
        self.fault = fault

    def demote(self, fault: RpcError) -> None:
        """Leave this endpoint alone for a while, longer each time, and remember why."""
        wait = min(self._pace.pause * 2.0 ** min(self._failures, 16), self._pace.longest_pause)
        self._failures += 1
        self._free_at = self._clock.monotonic() + wait
        self._verified = False  # whoever comes back may be another node
        if not isinstance(self.fault, RpcDisagrees):  # silence does not make a liar honest
            self.fault = fault

    def trust(self) -> None:
        """Forget earlier faults: the endpoint answered well and agreed with the others."""
        self._failures = 0
        self._free_at = 0.0
        self.fault = None

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """Ask once. Raises RpcUnreachable, RpcGarbled, RpcRefused, WrongChain."""
        await self._verify()
        return await self._ask(method, params)

    async def request_many(self, calls: Sequence[Asked]) -> list[Any]:
        """Ask in JSON-RPC batches, as large as the endpoint takes them; see ChainReader."""
        await self._verify()
        answers: list[Any] = []
        while len(answers) < len(calls):
            if self._at_once == 1:
                few = calls[len(answers) : len(answers) + _PARALLEL]
                answers += await asyncio.gather(*(self._ask_one(*each) for each in few))
                continue
            part = calls[len(answers) : len(answers) + self._at_once]
            try:
                answers += await self._ask_many(part)
            except RpcRefused:  # hosted endpoints limit batches, some take none
                self._at_once = max(1, len(part) // 2)
        return answers

    async def _verify(self) -> None:
        if not self._verified:
            found = wire.quantity(await self._ask("eth_chainId", []))
            if found != self.chain_id:
                raise WrongChain(self.name, self.chain_id, found)
            self._verified = True

    async def _ask(self, method: str, params: Sequence[Any]) -> Any:
        with self._failures_named(method):
            answer = await self._post(self._call(method, params))
        return self._result(method, answer)

    async def _ask_one(self, method: str, params: Sequence[Any]) -> Any:
        try:
            return await self._ask(method, params)
        except RpcRefused as refusal:
            return refusal

    async def _ask_many(self, calls: Sequence[Asked]) -> list[Any]:
        """One JSON-RPC batch. Raises RpcRefused when the endpoint does not take it as a whole."""
        asked = [self._call(method, params) for method, params in calls]
        try:
            with self._failures_named("a batch"):
                answer = await self._post(asked)
        except RpcUnreachable as fault:
            cause = fault.__cause__
            if isinstance(cause, ClientResponseError) and cause.status in _TOO_LARGE:
                raise RpcRefused(0, f"HTTP status {cause.status} for a batch of {len(calls)}") from cause
            raise
        if isinstance(answer, Mapping) and answer.get("error") is not None:
            raise _refusal(answer["error"])
        if not isinstance(answer, list) or len(answer) != len(calls):
            raise RpcGarbled(f"{self.name} did not answer every call of a batch")
        by_id = {each.get("id"): each for each in answer if isinstance(each, Mapping) and _is_id(each.get("id"))}
        results: list[Any] = []
        for (method, _), call in zip(calls, asked, strict=True):
            try:
                results.append(self._result(method, by_id.get(call["id"])))
            except RpcRefused as refusal:
                results.append(refusal)
        return results

    def _call(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "method": method, "params": list(params), "id": next(self._ids)}

    async def _post(self, body: object) -> Any:
        """One HTTP request on a kept connection, and the JSON of its answer; `wire` reads the values, which are texts.

        Numbers of more than 64 bits would come as floats; none is taken for a value.
        """
        if self._session is None or self._session.closed:
            self._session = ClientSession(timeout=ClientTimeout(total=self._pace.timeout), raise_for_status=True)
        async with self._session.post(self.url, data=orjson.dumps(body), headers=_HEADERS) as answer:
            return orjson.loads(await answer.read())

    @contextmanager
    def _failures_named(self, what: str) -> Iterator[None]:
        try:
            yield
        except (TimeoutError, ClientError, OSError) as error:
            raise RpcUnreachable(f"{self.name}: {_reason(error)}") from error
        except (ValueError, RecursionError) as error:
            raise RpcGarbled(f"{self.name} did not answer {what} with JSON-RPC") from error

    def _result(self, method: str, answer: Any) -> Any:
        if not isinstance(answer, Mapping):
            raise RpcGarbled(f"{self.name} did not answer {method} with JSON-RPC")
        if answer.get("error") is not None:
            raise _refusal(answer["error"])
        if "result" not in answer:
            raise RpcGarbled(f"{self.name} answered {method} without a result")
        return answer["result"]

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _is_id(value: object) -> bool:
    return type(value) is int


def _refusal(error: Any) -> RpcRefused:
    if not isinstance(error, Mapping):
        return RpcRefused(0, str(error)[:300])
    number, reason, data = error.get("code"), str(error.get("message", "refused"))[:300], error.get("data")
    if isinstance(data, Mapping):  # some nodes wrap the revert data once more
        data = data.get("data")
    revert = b""
    if isinstance(data, str) and data.startswith("0x"):
        try:
            revert = bytes.fromhex(data[2:])
        except ValueError:
            revert = b""
    return RpcRefused(number if isinstance(number, int) else 0, reason, revert)


def _reason(error: Exception) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(error, ClientResponseError):
        return f"HTTP status {error.status}"
    if isinstance(error, ClientConnectorError):
        return f"cannot connect ({error.os_error.strerror or 'refused'})"
    # Other texts of the HTTP library may hold the whole address, and with it an access key.
    return type(error).__name__


def _without_secrets(url: str) -> str:
    """Return scheme, host and port only: hosted endpoints carry their key in the path, the query or the user part."""
    scheme, _, rest = url.partition("://")
    host = rest.split("/", 1)[0].split("?", 1)[0].rsplit("@", 1)[-1]
    return f"{scheme}://{host}"
