"""The energy that an asset has to sell or lacks: told by its units, offered and asked for by itself (M-8, M-9).

What is promised is read off the asset's orders and their contracts each time, so nothing has to be given back by hand:
an offer that ran out, a cancelled contract or a delivery change what is free at once (M-6, M-32, M-38).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keys.messages import parcel_domain
from keys.parcel import Parcel
from node.app.core import Core, peer_of
from node.app.inbox import Inbox, Kept
from node.app.services import looped
from node.app.trading.asset import CONFIG, AssetRole
from node.app.trading.assetresting import AssetResting
from node.app.trading.personal import Personal
from node.errors import Conflict, Refused
from node.projection.order import Order, OrderStatus, delivery_key
from node.projection.settlement_events import OrderTerms
from node.projection.trade import Trade, TradeStatus
from node.runtime.supervisor import Service
from node.services.asset.orders import Wanted
from node.services.asset.pool import next_start, to_offer, to_request
from node.wire.assets import PERSONAL, AssetConfig, AssetRegistered, MeterCounted, TradeNotice, registration_statement
from node.wire.orderdetails import details_of_carrier

__all__ = ["AssetPool"]

POOL, TOLD, NOTICES = "asset_pool", "asset_told", "asset_notice"
"""Namespaces of facts: the owner's settings, the pool, energy not counted yet, and what markets told of contracts."""

NOTICE_KINDS = (
    "asset.contract",
    "asset.payment",
    "asset.payment_sent",
    "asset.payment_confirmed",
    "asset.payment_reminder",
    "asset.cancel",
    "asset.claim",
)
LEAD_S = 60
LATE_S = 3_600
SUBJECT = "asset"
"""What the key of this asset's personal words is named by."""
EVERY_S = 1.0
_PROMISED = (TradeStatus.MATCHED, TradeStatus.REPORTED, TradeStatus.CONTESTED)


Netted = Mapping[bytes, tuple[int, int | None]]
"""Contracts of an order that are netted: Wh promised, and reported, None while it was not."""


@dataclass(slots=True)
class _Pool:
    """`kept` as it is stored: Wh available by what is final, own orders, contracts counted, sides to look at.

    `moved`: Wh delivered in contracts that a reorg may still take back; `reserved` and `requested` as in `pool`.
    """

    kept: dict[str, Any]
    moved: int = 0
    reserved: int = 0
    requested: int = 0

    @property
    def available(self) -> int:
        return int(self.kept["available"]) + self.moved


class AssetPool:
    """`owner` tells who may configure this asset: the account of the paired household, None while there is none."""

    def __init__(self, core: Core, asset: AssetRole, owner: Callable[[], Awaitable[bytes | None]]) -> None:
        self._core = core
        self._asset = asset
        self._owner = owner
        self._personal = Personal(core.keys.keystore)
        self._resting = AssetResting(core, asset)

    def register(self, inbox: Inbox) -> None:
        inbox.on("asset.init", self._take_config)
        inbox.on("asset.produce", self._take_produced)
        inbox.on("asset.consume", self._take_consumed)
        for kind in NOTICE_KINDS:
            inbox.on(kind, self._take_notice)

    # The owner's settings

    async def config(self) -> AssetConfig | None:
        """What the owner set last; None for an asset that only trades when it is told to."""
        found = await self._core.storage.memory.facts.get(CONFIG, "config")
        if found is None:
            return None
        sealed = found.pop("personal", "")
        return AssetConfig.model_validate({**found, **self._personal.open(SUBJECT, sealed)})

    async def _take_config(self, parcel: Parcel) -> Kept:
        if parcel.sender != await self._owner():
            raise Refused("Only the paired owner may configure this asset.", remedy="Pair with it first.")
        config = AssetConfig.model_validate(parcel.body)
        known = await self.config()
        if known is not None and known.status == "retired" and config.status != "retired":
            raise Conflict("This asset is retired.", remedy="Pair a new one; what it did stays provable.")
        if config.status == "retired":
            # Its words go first: whatever happens next, nobody reads them any more.
            self._personal.erase(SUBJECT)
            config = config.model_copy(update=dict.fromkeys(PERSONAL, ""))
        operator = await self.announce(config)
        document = config.to_json()
        words = {field: document.pop(field) for field in PERSONAL}
        if any(words.values()):
            document["personal"] = self._personal.seal(SUBJECT, words)
        return Kept((), ((CONFIG, "config", document), (CONFIG, "operator", operator.hex())))

    async def operator(self) -> bytes | None:
        """Whose market the owner's settings name; None before there are any."""
        found = await self._core.storage.memory.facts.get(CONFIG, "operator")
        return None if found is None else bytes.fromhex(found)

    async def announce(self, config: AssetConfig) -> bytes:
        """Registers with the market, or tells it what changed (M-11). Returns the market's operator."""
        core = self._core
        market = await self._asset.voice.join(config.market)
        operator, card = bytes(market.operator), market.card
        known = market.energies
        if config.carrier != "electric" and known is not None and config.carrier not in known:
            raise Refused(f"This market knows no {config.carrier} energy.", field="carrier")
        signer = self._asset.account(operator)
        body = AssetRegistered(
            account=signer.address,
            card=core.card,
            revocation=core.keys.identity.wallet().address,
            role=config.role,
            carrier=config.carrier,
            area=config.area,
            status=config.status,
            signed_at=core.clock.now(),
        )
        statement = registration_statement(body, operator)
        signature = await signer.sign_message(statement, parcel_domain(core.settings.chain.chain_id))
        body = body.model_copy(update={"signature": signature})
        await self._asset.voice.post.send(peer_of(card), "market.register", body.to_json())
        return operator

    # Energy

    async def _take_produced(self, parcel: Parcel) -> Kept:
        return await self._told(parcel, 1)

    async def _take_consumed(self, parcel: Parcel) -> Kept:
        return await self._told(parcel, -1)

    async def _told(self, parcel: Parcel, sign: int) -> Kept:
        """Kept under the parcel's own id and in its transaction, so nothing is ever counted twice."""
        if parcel.sender not in (await self._owner(), self._core.keys.identity.device().address):
            raise Refused("Only this asset's own units and its owner tell what it made or used.")
        energy = MeterCounted.model_validate(parcel.body).energy
        await self._require_active()
        return Kept((), ((TOLD, parcel.id.hex(), sign * energy),))

    async def _require_active(self) -> AssetConfig:
        config = await self.config()
        if config is None or config.status == "retired":
            raise Conflict("This asset has no settings to trade by.", remedy="Its owner sets it up first.")
        return config

    async def produce(self, wh: int) -> None:
        """A unit with a token says that so much more is there (M-8, M-85). Raises Conflict without settings."""
        await self._count(wh)

    async def consume(self, wh: int) -> None:
        """A unit with a token says that so much is gone (M-9)."""
        await self._count(-wh)

    async def _count(self, wh: int) -> None:
        await self._require_active()
        await self._core.storage.memory.keep((), [(TOLD, secrets.token_hex(16), wh)])
        self._core.wake()

    async def pool(self) -> dict[str, int]:
        """Wh: `available` in all, `reserved` in offers and contracts to sell, `requested` in those to buy."""
        found = await self._read()
        return {"available": found.available, "reserved": found.reserved, "requested": found.requested}

    def service(self) -> Service:
        return Service("asset pool", looped(self._core.new_wake(), self._loop, EVERY_S))

    async def _loop(self) -> bool:
        await self.step()
        return False

    async def step(self) -> None:
        """Counts what units told since the last time, and offers or asks for what follows from it.

        What is to be looked at is kept with what was counted, and goes with the order that comes of it: a crash, or a
        market that cannot be reached, loses no offer and makes none twice. While paused it waits.
        """
        memory = self._core.storage.memory
        told: dict[str, int] = {k: v for k, v in (await memory.facts.all(TOLD)).items() if v is not None}
        if told:
            kept = (await self._read()).kept
            kept["available"] += sum(told.values())
            kept["wants"] = sorted({*kept["wants"], *("sell" if wh > 0 else "buy" for wh in told.values())})
            await memory.keep((), [(POOL, "pool", kept), *((TOLD, name, None) for name in told)])
        await self._rest()
        wants = (await memory.facts.get(POOL, "pool") or {}).get("wants", ())
        config = await self.config() if wants else None
        if config is not None and config.status == "running" and not await self._resting.outstanding():
            for want in wants:
                await self._place(config, want)

    async def _rest(self) -> None:
        """While it is paused or retired nothing of this asset is open; what it offered itself it offers anew later."""
        facts = self._core.storage.memory.facts
        config, operator = await facts.get(CONFIG, "config"), await self.operator()
        if config is None or operator is None or config["status"] == "running":
            return
        orders = await self._resting.take_back(operator)
        kept = (await self._read()).kept if orders else {}
        own = [order for order in orders if order.order_id.hex() in kept["orders"] and order.terms is not None]
        wants = {*kept.get("wants", ()), *("sell" if order.terms and order.terms.sells else "buy" for order in own)}
        if own and wants != set(kept["wants"]):
            await self._core.storage.memory.keep((), [(POOL, "pool", {**kept, "wants": sorted(wants)})])

    async def _place(self, config: AssetConfig, want: str) -> None:
        found, sells = await self._read(), want == "sell"
        kept = {**found.kept, "wants": [each for each in found.kept["wants"] if each != want]}
        wh, lot = 0, config.min_offer_wh
        if sells and config.role != "consumer":
            wh = to_offer(found.available, found.reserved, lot)
        elif not sells and config.role != "producer":
            wh = to_request(found.available, found.requested, lot)
        if not wh:
            await self._core.storage.memory.keep((), [(POOL, "pool", kept)])
            return
        start, end = await self._free_slot(config, sells)
        price = config.offer_price if sells else config.limit_price
        wanted = Wanted(sells, wh, price, start, end, details=details_of_carrier(config.carrier))
        await self._asset.order(
            config.market,
            wanted,
            lambda order_id: [(POOL, "pool", {**kept, "orders": [*kept["orders"], order_id.hex()]})],
        )

    async def _free_slot(self, config: AssetConfig, sells: bool) -> tuple[int, int]:
        """The next delivery whose gate is open and in which this asset is not on the other side: one role at a time
        (A-19, M-44). Its length is the market's, where that has one."""
        operator, views = await self.operator() or bytes(20), self._core.storage.views
        market, account = (await self._asset.markets()).get(operator), self._asset.account(operator).address
        length = (market.slot_s if market is not None else 0) or config.delivery_s
        gate = (market.gate_closure_s if market is not None else None) or 0
        start = next_start(self._core.clock.now(), length, LEAD_S + gate)
        while True:
            # Only the link's fields count here.
            other = delivery_key(OrderTerms(not sells, account, 0, 0, start, start + length, 0))
            rows = await views.page(Order, link=("delivery", other), limit=1_000)
            if not [order for _, order in rows if await self._binds(order)]:
                return start, start + length
            start += length

    async def _binds(self, order: Order) -> bool:
        """Whether it keeps its account from the other side of its delivery, as its market sees it."""
        return bool(order.left or order.filled or await self._asset.netted.of_order(order))

    async def _read(self) -> _Pool:
        """The pool with what was delivered by now, and Wh that own offers and requests still bind."""
        kept: dict[str, Any] = await self._core.storage.memory.facts.get(POOL, "pool") or {"available": 0}
        kept = {**kept, **{name: list(kept.get(name, ())) for name in ("orders", "counted", "wants")}}
        pool = _Pool(kept)
        for name in list(kept["orders"]):
            order = await self._core.storage.views.one(Order, bytes.fromhex(name))
            if order.terms is not None:
                netted = await self._asset.netted.of_order(order)
                self._take_in(pool, order, await self._contracts(order), netted)
        return pool

    def _take_in(self, pool: _Pool, order: Order, trades: Sequence[Trade], netted: Netted) -> None:
        """One order of the pool's. What is final is counted for good; an order that nothing can happen to any more
        is forgotten with all that was counted of it."""
        assert order.terms is not None  # noqa: S101 (the caller looked)
        kept, bound, counted = pool.kept, order.left, set(pool.kept["counted"])
        for trade in trades:
            key = trade.contract_id.hex()
            if trade.status in _PROMISED and trade.terms is not None:
                bound += trade.terms.wh
            elif trade.delivered is not None and key not in counted:
                wh = -trade.delivered.wh if order.terms.sells else trade.delivered.wh
                if trade.settled:
                    kept["available"] += wh
                    kept["counted"].append(key)
                else:
                    pool.moved += wh
        for contract_id, (promised, said) in netted.items():
            if said is None:
                # While the order stands, what it may still be matched for has it in it.
                bound += 0 if order.left else promised
            elif contract_id.hex() not in counted:
                kept["available"] += -said if order.terms.sells else said
                kept["counted"].append(contract_id.hex())
        if order.terms.sells:
            pool.reserved += bound
        else:
            pool.requested += bound
        # One that ran out may have been matched in time and told late.
        late = order.status is not OrderStatus.FILLED and self._core.clock.now() <= order.terms.until + LATE_S
        if not bound and not late and all(trade.settled for trade in trades):
            kept["orders"].remove(order.order_id.hex())
            mine = {trade.contract_id.hex() for trade in trades} | {contract_id.hex() for contract_id in netted}
            kept["counted"] = [key for key in kept["counted"] if key not in mine]

    async def _contracts(self, order: Order) -> list[Trade]:
        rows = await self._core.storage.views.page(Trade, link=("order", order.order_id), limit=1_000)
        return [trade for _, trade in rows]

    # What markets tell

    async def _take_notice(self, parcel: Parcel) -> Kept:
        """A contract moved, says its market; it is looked at on the chain, and the words are kept for audit."""
        if parcel.sender not in await self._asset.markets():
            raise Refused("This asset does not trade in that market.")
        body = TradeNotice.model_validate(parcel.body)
        trade = await self._core.storage.views.one(Trade, bytes(body.contract))
        accounts = self._asset.voice.accounts
        if trade.terms is not None and not {trade.terms.seller, trade.terms.buyer} & set(accounts):
            raise Refused("This asset has no part in that contract.")
        self._asset.trades.hint(bytes(body.contract))
        name = f"{bytes(body.contract).hex()}/{parcel.kind}/{body.reminders}"
        return Kept((), ((NOTICES, name, body.to_json()),))
