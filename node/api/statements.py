"""The operations of settlement statements: invoices of a period, and the whole of its lines as a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiohttp import web

from node.api.operations import Answer, Call, FileAnswer, Operation, Parameter, Streaming
from node.api.statementviews import StatementFile, StatementQuery, StatementView
from node.errors import NodeError, NotFound
from node.observability import get_logger

__all__ = ["STATEMENT_OPERATIONS", "StatementFacade", "send_file"]

_LOG: Final = get_logger("node.api")
_PERIODS: Final = ("all", "month", "day")
_FORMATS: Final = ("csv", "xml")
_ASK_AGAIN: Final = 64
"""Pieces after which it is asked whether the caller's token still holds."""


class StatementFacade(Protocol):
    """Errors as in `node.api.facade`."""

    async def statement(self, query: StatementQuery) -> StatementView: ...

    async def export(self, query: StatementQuery) -> StatementFile: ...

    async def invoices(self, query: StatementQuery) -> StatementFile: ...


def _facade(call: Call) -> StatementFacade:
    if call.settlement is None:
        raise NotFound("This node settles nothing.")
    facade: StatementFacade = call.settlement.statements
    return facade


def _query(call: Call) -> StatementQuery:
    start, end = call.period()
    period, kind = call.choice("period", _PERIODS, "all"), call.choice("format", _FORMATS, "csv")
    return StatementQuery(start, end, call.account("party"), period, kind)


async def _statement(call: Call) -> StatementView:
    return await _facade(call).statement(_query(call))


async def _export(call: Call) -> Answer:
    return _file(await _facade(call).export(_query(call)))


async def _invoices(call: Call) -> Answer:
    return _file(await _facade(call).invoices(_query(call)))


def _file(found: StatementFile) -> Answer:
    async def serve(request: web.Request, check: Callable[[], Awaitable[None]]) -> web.StreamResponse:
        return await send_file(request, found, check)

    return Answer(Streaming(serve))


async def send_file(
    request: web.Request, found: StatementFile, check: Callable[[], Awaitable[None]]
) -> web.StreamResponse:
    """Piece by piece, as fast as the caller takes them. A fault on the way breaks the connection off.

    The status was sent by then, so a whole-looking end would be a lie: chunked without its last chunk, every client
    reports it.
    """
    headers = {
        "Content-Type": found.content_type,
        "Content-Disposition": f'attachment; filename="{found.name}"',
        "X-Statement-Contracts": str(found.contracts),
    }
    response = web.StreamResponse(headers=headers)
    first = await anext(found.pieces, b"")  # what fails before the first byte is still a problem document
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        await response.write(first)
        count = 0
        async for piece in found.pieces:
            count += 1
            if count % _ASK_AGAIN == 0:
                await check()
            await response.write(piece)
    except NodeError as error:
        _LOG.error("export broken off", reason=str(error))
        if request.transport is not None:
            request.transport.abort()
    return response


_API = "/api/v1"
_PERIOD = (
    Parameter("from", "time", "deliveries that begin then or later"),
    Parameter("to", "time", "deliveries that begin before"),
    Parameter("party", "text", "only this account"),
)

# fmt: off
STATEMENT_OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", f"{_API}/market/statement", "getStatement", "read", "Invoices of a period, by party", _statement,
              StatementView, tag="market",
              parameters=(*_PERIOD, Parameter("period", "text", "all (the default), month or day"))),
    Operation("GET", f"{_API}/market/statement/export", "exportStatement", "read",
              "Every line of a period, as CSV or as a market document", _export, FileAnswer, tag="market",
              parameters=(*_PERIOD, Parameter("format", "text", "csv (the default) or xml"))),
    Operation("GET", f"{_API}/market/statement/invoices", "exportInvoices", "read",
              "The invoices of a period, as CSV or as a market document", _invoices, FileAnswer, tag="market",
              parameters=(*_PERIOD, Parameter("period", "text", "all (the default), month or day"),
                          Parameter("format", "text", "csv (the default) or xml"))),
)
# fmt: on
