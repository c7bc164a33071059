"""Settlement statements for the REST interface: the operator sees its market, an asset its own accounts."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from node.api.statementviews import (
    CarrierTotalView,
    InvoiceView,
    PositionView,
    StatementFile,
    StatementQuery,
    StatementView,
)
from node.app.core import Core
from node.app.trading.asset import AssetRole
from node.app.trading.market import MarketRole
from node.app.trading.statements import StatementBook, tariffs_of
from node.errors import NotFound, Refused
from node.services.settlement.document import Heading
from node.services.settlement.export import Format, exported, exported_invoices, lines_for
from node.services.settlement.invoices import Bill, Invoice, Period
from node.services.settlement.tariff import Tariffs
from node.storage.deliveries import Span

__all__ = ["StatementPart"]


@dataclass(frozen=True, slots=True)
class _Scope:
    """Who asks for what: the operator whose tariffs hold, the accounts that may be seen (None: all), the receiver."""

    tariffs: Tariffs
    span: Span
    party: bytes | None


@dataclass(frozen=True, slots=True)
class StatementPart:
    """Implements `StatementFacade`; None for what this node has no role for."""

    core: Core
    book: StatementBook | None
    asset: AssetRole | None
    operator: MarketRole | None

    def _book(self) -> StatementBook:
        if self.book is None:
            raise NotFound("This node has no contracts.", remedy="Ask a market, or a gateway that trades in one.")
        return self.book

    async def _scope(self, query: StatementQuery) -> _Scope:
        if self.operator is not None:
            accounts = None if query.party is None or query.party == self.operator.operator else (query.party,)
            tariffs = tariffs_of(self.core, self.operator.operator)
            return _Scope(tariffs, Span(query.start, query.end, accounts), query.party)
        assert self.asset is not None  # noqa: S101 (one of both, or there is no book)
        own = {self.asset.account(operator).address: operator for operator in await self.asset.markets()}
        if query.party is not None and query.party not in own:
            raise Refused("This is no account of this asset.", field="party")
        wanted = tuple(own) if query.party is None else (query.party,)
        if len(wanted) > 1:
            raise Refused(
                "This asset trades in several markets, each with tariffs of its own.",
                field="party",
                remedy="Name one of its accounts; `wattpact market accounts` lists them.",
            )
        if not wanted:
            raise NotFound("This asset trades in no market yet.", remedy="`wattpact market join` begins.")
        (account,) = wanted
        return _Scope(tariffs_of(self.core, own[account]), Span(query.start, query.end, wanted), account)

    async def _bill(self, scope: _Scope, query: StatementQuery) -> tuple[Bill, int]:
        """Everything added up, and how many contracts it is of."""
        bill, contracts = Bill(scope.tariffs.operator, (query.start, query.end), Period(query.period)), 0
        async for page in self._book().pages(scope.span):
            contracts += len(page)
            bill.add(lines_for(page, scope.tariffs, scope.party))
        return bill, contracts

    async def statement(self, query: StatementQuery) -> StatementView:
        self._book()
        scope = await self._scope(query)
        bill, contracts = await self._bill(scope, query)
        return StatementView(
            operator=scope.tariffs.operator,
            start=query.start,
            end=query.end,
            contracts=contracts,
            lines=bill.lines,
            balance=bill.balance,
            invoices=tuple(_invoice(each) for each in bill.invoices() if scope.party in (None, each.party)),
        )

    async def export(self, query: StatementQuery) -> StatementFile:
        book, scope, kind = self._book(), await self._scope(query), Format(query.kind)
        heading = self._heading(scope, query, f"{kind}")
        pieces: AsyncIterator[bytes] = exported(book.pages(scope.span), scope.tariffs, kind, heading, scope.party)
        name = f"statement-{query.start}-{query.end}.{kind}"
        return StatementFile(kind.content_type, name, await book.count(scope.span), pieces)

    async def invoices(self, query: StatementQuery) -> StatementFile:
        self._book()
        scope, kind = await self._scope(query), Format(query.kind)
        bill, contracts = await self._bill(scope, query)
        found = [each for each in bill.invoices() if scope.party in (None, each.party)]
        heading = self._heading(scope, query, f"invoices|{query.period}|{kind}")

        async def pieces() -> AsyncIterator[bytes]:
            for piece in exported_invoices(found, kind, heading):
                yield piece

        return StatementFile(kind.content_type, f"invoices-{query.start}-{query.end}.{kind}", contracts, pieces())

    def _heading(self, scope: _Scope, query: StatementQuery, what: str) -> Heading:
        """The same document has the same id whenever it is made."""
        operator = scope.tariffs.operator
        receiver = scope.party or operator
        about = f"{what}|{query.start}|{query.end}".encode()
        return Heading(
            document=hashlib.sha256(b"|".join((b"wattpact statement", operator, receiver, about))).digest(),
            sender=operator,
            receiver=receiver,
            area=self.core.settings.statements.area,
            start=query.start,
            end=query.end,
            created=self.core.clock.now(),
        )


def _invoice(invoice: Invoice) -> InvoiceView:
    return InvoiceView(
        number=invoice.number,
        party=invoice.party,
        start=invoice.start,
        end=invoice.end,
        total=invoice.total,
        totals=tuple(CarrierTotalView(carrier=carrier, total=sum_) for carrier, sum_ in invoice.totals.items()),
        positions=tuple(
            PositionView(carrier=p.carrier, kind=p.kind.value, owes=p.owes, lines=p.lines, wh=p.wh, amount=p.amount)
            for p in invoice.positions
        ),
    )
