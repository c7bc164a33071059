"""Energy and money of a node in memory: what the REST interface and the commands are tried against."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from node.api.assets import AssetForm, AssetTotalsView, AssetView, FundForm, WalletView, WithdrawalForm
from node.api.flows import FlowQuery, FlowRowView, FlowsView, MemberFlowView, PairFlowView
from node.api.lifecycle import AllowanceForm, DisputeForm, RulingForm, WithdrawForm
from node.api.listing import Page
from node.api.marketdata import FillView, LiveSlotView, SlotPricesView
from node.api.netting import MandateForm, NetContractView, NetDayView, NetLeftView
from node.api.settlementviews import (
    AskedSourceView,
    DepositForm,
    EnergyView,
    JoinForm,
    LevelView,
    MarketView,
    OrderForm,
    OrderView,
    ShareForm,
    SlotView,
    SourceForm,
    SourceView,
    TermsView,
    TradeQuery,
    TradeView,
)
from node.api.statementviews import (
    CarrierTotalView,
    InvoiceView,
    PositionView,
    StatementFile,
    StatementQuery,
    StatementView,
)
from node.api.twins import FieldView, ForkView, TwinEntryView, TwinView
from node.api.views import ActionView
from node.app.trading.watching import Watch
from node.errors import NotFound, Refused
from node.services.settlement.document import Heading
from node.services.settlement.errors import StatementRefused
from node.services.settlement.export import Format, exported, exported_invoices
from node.services.settlement.invoices import Invoice, Position
from node.services.settlement.lines import Delivery, Kind
from node.services.settlement.tariff import Tariffs
from node.types import to_hex
from node.wire.desk import DeskAnswer, DeskQuestion

__all__ = ["CONTRACT", "DEVICE", "IMAGE", "OPERATOR", "ORDER", "SOURCE", "MemorySettlement"]

SOURCE = 2**52 + 5
OPERATOR, ASSET, OTHER = b"\x0a" * 20, b"\x0b" * 20, b"\x0c" * 20
DEVICE = b"\x0d" * 20
IMAGE = "data:image/png;base64,iVBORw0KGgo="
ORDER, REQUEST, CONTRACT = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32


def _done(digest: bytes) -> ActionView:
    return ActionView(state="queued", digest=digest, transaction=to_hex(digest))


@dataclass
class MemoryEnergy:
    said: list[object] = field(default_factory=list)

    async def energy(self) -> EnergyView:
        source = SourceView(
            source=SOURCE, state="active", owner=ASSET, device=OTHER, max_power_w=6_000, counter_wh=1_234_567,
            readings=3, read_at=1_000, minted_mwh=2_500_000, shares=600_000, all_shares=1_000_000,
            claimable_mwh=1_500_000,
        )  # fmt: skip
        asked = AskedSourceView(
            source=7, owner=ASSET, device=OTHER, max_power_w=6_000, shares=1_000, waits_for="owner",
            initial_counter_wh=500, deadline=2_000, community="Hill", community_url="https://community.example:8750",
            digest=ORDER, typed_data={"primaryType": "RegisterSource"},
        )  # fmt: skip
        return EnergyView(
            token=OTHER, account=ASSET, balance_mwh=1_000_000, supply_mwh=2_500_000, sources=(source,), asked=(asked,)
        )

    async def propose(self, form: SourceForm) -> int:
        self.said.append(form)
        return SOURCE

    async def accept(self, source: int, digest: bytes | None) -> None:
        if source != SOURCE:
            raise NotFound("No source of this number was proposed.")
        self.said.append(("accept", source) if digest is None else ("accept", source, digest))

    async def approve(self, source: int, digest: bytes | None) -> ActionView:
        self.said.append(("approve", source) if digest is None else ("approve", source, digest))
        return _done(ORDER)

    async def send_shares(self, form: ShareForm) -> ActionView:
        self.said.append(form)
        return _done(ORDER)

    async def claim(self, source: int) -> ActionView:
        self.said.append(("claim", source))
        return _done(ORDER)


@dataclass
class MemoryMarket:
    asked: list[TradeQuery] = field(default_factory=list, kw_only=True)
    said: list[object] = field(default_factory=list)
    refused: str = ""
    waits: str = ""

    async def orders(self, before: int | None, limit: int) -> Page[OrderView]:
        state = "refused" if self.refused else "open"
        order = OrderView(
            id=ORDER, side="offer", state=state, reason=self.refused, account=ASSET, wh=1_500, filled_wh=500,
            price=200, start=1_000, end=1_900, valid_until=1_000, timestamp=400, waits=self.waits,
        )  # fmt: skip
        return Page(items=(order,))

    async def order(self, form: OrderForm) -> OrderView:
        self.said.append(form)
        return (await self.orders(None, 1)).items[0]

    async def trades(self, query: TradeQuery) -> tuple[TradeView, ...]:
        self.asked.append(query)
        return (
            TradeView(
                number=7, made_at=900, id=CONTRACT, status="delivered", seed_status="Payment requested", final=True,
                seller=ASSET, buyer=OTHER, offer=ORDER, request=REQUEST, wh=500, price=200, amount=100, start=1_000,
                end=1_900, reported_seller_wh=480, reported_buyer_wh=480, delivered_wh=480, due=96, paid=0,
            ),
        )  # fmt: skip

    async def markets(self) -> tuple[MarketView, ...]:
        return (MarketView(operator=OPERATOR, name="M", url="https://m.example", account=ASSET, wallet=5, balance=6),)

    async def join(self, form: JoinForm) -> MarketView:
        self.said.append(form)
        return (await self.markets())[0]

    async def deposit(self, form: DepositForm) -> ActionView:
        self.said.append(form)
        return _done(ORDER)

    async def terms(self) -> TermsView:
        return TermsView(
            operator=OPERATOR, terms=ORDER, market=OTHER, engine="uniform_price", slot_s=900, gate_closure_s=300,
            areas=("north",), energies=("thermal",), reminder_every_s=86_400,
        )  # fmt: skip

    async def desk(self, question: DeskQuestion) -> DeskAnswer:
        self.said.append(question)
        return DeskAnswer(contracts=(), seen_seq=question.seen_seq, seen_id=question.seen_id, more=False)

    async def book(self) -> tuple[SlotView, ...]:
        level = LevelView(price=200, wh=1_000, orders=2)
        return (SlotView(start=1_000, end=1_900, offers=(level,), requests=()),)


@dataclass
class MemoryStatements:
    """Real lines of a few deliveries. With `fails` the export breaks off behind its first page."""

    deliveries: list[Delivery] = field(default_factory=list)
    fails: bool = False
    asked: list[StatementQuery] = field(default_factory=list)

    async def statement(self, query: StatementQuery) -> StatementView:
        self.asked.append(query)
        energy = PositionView(carrier="thermal", kind="energy", owes=True, lines=1, wh=480, amount=-96)
        totals = (CarrierTotalView(carrier="thermal", total=-96),)
        invoice = InvoiceView(number="17", party=OTHER, start=0, end=900, total=-96, totals=totals, positions=(energy,))
        return StatementView(
            operator=OPERATOR, start=query.start, end=query.end, contracts=1, lines=1, balance=0, invoices=(invoice,)
        )

    async def export(self, query: StatementQuery) -> StatementFile:
        self.asked.append(query)
        kind, heading = Format(query.kind), Heading(ORDER, OPERATOR, OPERATOR, "", query.start, query.end, 1)
        pieces = exported(self._pages(), Tariffs(OPERATOR), kind, heading, query.party)
        return StatementFile(kind.content_type, f"s.{kind}", len(self.deliveries), pieces)

    async def invoices(self, query: StatementQuery) -> StatementFile:
        self.asked.append(query)
        kind, heading = Format(query.kind), Heading(ORDER, OPERATOR, OPERATOR, "", query.start, query.end, 1)
        energy = Position("thermal", Kind.ENERGY, True, 1, 480, -96)
        text = exported_invoices([Invoice("17", OTHER, 0, 900, (energy,))], kind, heading)

        async def pieces() -> AsyncIterator[bytes]:
            for piece in text:
                yield piece

        return StatementFile(kind.content_type, f"i.{kind}", 1, pieces())

    async def _pages(self) -> AsyncIterator[list[Delivery]]:
        for delivery in self.deliveries:
            yield [delivery]
            if self.fails:
                raise StatementRefused("A figure is wrong.")


@dataclass
class MemoryFlows:
    asked: list[FlowQuery] = field(default_factory=list)

    async def flows(self, query: FlowQuery) -> FlowsView:
        self.asked.append(query)
        figures = {"produced_wh": 900, "consumed_wh": 700, "green_wh": 600, "export_wh": 300, "import_wh": 100}
        member = MemberFlowView(member=OTHER, **figures)
        pairs = (PairFlowView(producer=ASSET, consumer=OTHER, wh=600),) if query.pairs else ()
        row = FlowRowView(
            start=query.start, end=query.end, quarters=96, partial=1, missing=2, members=(member,), pairs=pairs,
            **figures,
        )  # fmt: skip
        return FlowsView(units=3, items=(row,))


def _levels(*rows: tuple[int, int]) -> tuple[LevelView, ...]:
    return tuple(LevelView(price=price, wh=wh, orders=1) for price, wh in rows)


@dataclass
class MemoryData:
    """A market with one open delivery. `move` changes its best offer, as a new order does."""

    best: int = 200
    market: bool = True
    watches: list[Watch] = field(default_factory=list)

    def move(self, best: int) -> None:
        self.best = best
        for watch in self.watches:
            watch.add({(1_000, 1_900)})

    def prices(self, since: int, until: int) -> tuple[SlotPricesView, ...]:
        row = SlotPricesView(start=1_000, end=1_900, contracts=2, wh=750, amount=150, low=190, high=210, mean=203)
        return (row,) if since <= row.start < until else ()

    async def fills(self, before: int | None, limit: int) -> tuple[FillView, ...]:
        rows = [
            FillView(
                number=n, id=CONTRACT, start=1_000, end=1_900, wh=500, price=200, amount=100, final=True, block=n
            )
            for n in (9, 8, 7)
            if before is None or n < before
        ]  # fmt: skip
        return tuple(rows[:limit])

    def live(self) -> tuple[tuple[int, int], ...]:
        if not self.market:
            raise Refused("This node is no market.")
        return ((1_000, 1_900),)

    def slot(self, times: tuple[int, int]) -> LiveSlotView:
        return LiveSlotView(
            start=times[0], end=times[1], offers=_levels((self.best, 500)), requests=_levels((180, 100)),
            prices=self.prices(0, 2**40)[0],
        )  # fmt: skip

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        watch = Watch()
        self.watches.append(watch)
        try:
            yield watch
        finally:
            self.watches.remove(watch)


@dataclass
class MemoryTwins:
    """One contract with a twin of one entry. `fork`, `damage`: what is wrong with it."""

    fork: ForkView | None = None
    damage: str | None = None
    wh: int = 700

    async def twin(self, contract: bytes) -> TwinView:
        if contract != CONTRACT:
            raise NotFound("There is no contract of this id.")
        entry = TwinEntryView(
            author=OPERATOR, party="market", seq=1, at=1_000, hash=ORDER, signature="0x" + "07" * 65, on_chain=True,
            anchored=12, message={"event": "step", "status": "delivered", "wh": self.wh, "amount": 140, "block": 9},
        )  # fmt: skip
        fields = FieldView(field="wh", values={"database": 700, "market's log": 700, "chain": 700}, agrees=True)
        return TwinView(
            contract=contract, agrees=self.fork is None and self.damage is None, fields=(fields,), entries=(entry,),
            missing=(), unproven=(), contradicted=(), fork=self.fork, damage=self.damage,
        )  # fmt: skip


@dataclass
class MemoryLife:
    """Decisions, as they were asked for."""

    said: list[object] = field(default_factory=list)

    async def cancel_order(self, order: bytes) -> ActionView:
        self.said.append(("cancel order", order))
        return _done(order)

    async def cancel_contract(self, contract: bytes) -> ActionView:
        self.said.append(("cancel contract", contract))
        return _done(contract)

    async def dispute(self, contract: bytes, form: DisputeForm) -> ActionView:
        self.said.append(("dispute", contract, form.reason))
        return _done(contract)

    async def evidence(self, contract: bytes) -> ActionView:
        self.said.append(("evidence", contract))
        return _done(contract)

    async def rule(self, contract: bytes, form: RulingForm) -> ActionView:
        self.said.append(("rule", contract, form.wh, form.operator))
        return _done(contract)

    async def allow(self, form: AllowanceForm) -> ActionView:
        self.said.append(form)
        return _done(ORDER)

    async def withdraw(self, form: WithdrawForm) -> ActionView:
        self.said.append(form)
        return _done(ORDER)

    async def take_out(self, form: JoinForm) -> ActionView:
        self.said.append(("out", form.market))
        return _done(ORDER)


@dataclass
class MemoryAssets:
    """One asset."""

    status: str = "running"
    said: list[AssetForm] = field(default_factory=list)
    funded: list[int] = field(default_factory=list)
    withdrawn: list[tuple[bytes, int]] = field(default_factory=list)

    async def assets(self) -> tuple[AssetView, ...]:
        return (await self.asset(DEVICE),)

    async def asset(self, device: bytes) -> AssetView:
        if device != DEVICE:
            raise NotFound("This household has set up no such asset.")
        gone = self.status == "retired"
        totals = AssetTotalsView(contracts=3, produced_wh=900, consumed_wh=0, income=180, cost=0, mean_price=200)
        return AssetView(
            device=DEVICE, name="" if gone else "Roof", role="producer", carrier="thermal", status=self.status,
            market="https://market.example", area="", location="", description="", offer_price=200, limit_price=0,
            min_offer_wh=500, delivery_s=1_800, image=IMAGE, dashboard=True, operator=OPERATOR, account=ASSET, wallet=5,
            balance=6, totals=totals,
        )  # fmt: skip

    async def configure(self, form: AssetForm) -> AssetView:
        self.said.append(form)
        return await self.asset(DEVICE)

    async def change(self, device: bytes, status: str) -> AssetView:
        await self.asset(device)
        self.status = status
        return await self.asset(device)

    async def fund(self, device: bytes, form: FundForm) -> ActionView:
        await self.asset(device)
        self.funded.append(form.amount)
        return _done(ORDER)

    async def wallet(self) -> WalletView:
        return WalletView(account=OTHER, balance=480, symbol="DEV", decimals=6, test_money=False)

    async def withdraw(self, form: WithdrawalForm) -> ActionView:
        self.withdrawn.append((form.receiver, form.amount))
        return _done(ORDER)

    async def test_money(self, form: FundForm) -> ActionView:
        if form.amount == 7_000:
            return _done(ORDER)
        raise Refused("Only a devnet's money is made from nothing.")


@dataclass
class MemoryNetting:
    """One day and one contract."""

    said: list[object] = field(default_factory=list)

    async def days(self) -> tuple[NetDayView, ...]:
        return (
            NetDayView(day="2026-01-31", state="open", contracts=3, lines=2, left=1, total=0, deposit_short=50),
        )  # fmt: skip

    async def contracts(self) -> tuple[NetContractView, ...]:
        return (
            NetContractView(
                id=CONTRACT, seller=ASSET, buyer=OTHER, wh=500, price=200, start=1_000, end=1_900, reported_wh=480,
                delivered_wh=470, due=94,
            ),
        )  # fmt: skip

    async def left(self) -> tuple[NetLeftView, ...]:
        return (
            NetLeftView(
                id=ORDER, day="2026-01-31", seller=ASSET, buyer=OTHER, wh=500, price=200, amount=100, owed=100,
                reminders=2, claimed=False, state="contracted", contract=CONTRACT, waits="", until=1_700_345_600,
                awaited=None,
            ),
        )  # fmt: skip

    async def mandate(self, form: MandateForm) -> ActionView:
        self.said.append(form)
        return _done(ORDER)

    async def deposit(self, form: DepositForm) -> ActionView:
        self.said.append(form)
        return _done(ORDER)


@dataclass
class MemorySettlement:
    netting: MemoryNetting = field(default_factory=MemoryNetting)
    life: MemoryLife = field(default_factory=MemoryLife)
    assets: MemoryAssets = field(default_factory=MemoryAssets)
    energy: MemoryEnergy = field(default_factory=MemoryEnergy)
    market: MemoryMarket = field(default_factory=MemoryMarket)
    data: MemoryData = field(default_factory=MemoryData)
    statements: MemoryStatements = field(default_factory=MemoryStatements)
    flows: MemoryFlows = field(default_factory=MemoryFlows)
    twins: MemoryTwins = field(default_factory=MemoryTwins)
