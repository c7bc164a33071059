"""The second half in no time: real meters, order book, matching rules and delivery rules; token and market in numbers.

A twin breaks one part by a subclass and expects exactly the check that guards it to fail. Here live those that break a
contract itself; those that break what is signed and sent are played with the real contracts (`chainvillage`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from node.app.demo.evidence import Log, Settlement, Share, Telegram
from node.services.asset.rules import share_delivery
from node.services.community.rules import exported_wh, imported_wh
from node.services.market.book import Book, Fill, Resting
from node.services.market.matching import amount_due
from node.services.simulator.household import Household, MeterState

__all__ = ["BEGIN", "END", "LAST", "START", "VillageWorld", "address"]

BEGIN = 1_795_046_400
START, END = BEGIN + 20, BEGIN + 36
LAST = BEGIN + 60
PRODUCED = "Produced(uint64,uint32,uint64,uint40)"
SHARES = "Transfer(address,address,address,uint256,uint256)"
MATCHED = "Matched(bytes32,address,address,bytes32,bytes32,uint64,uint88,uint88,bool)"


def address(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:20]


def word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\x00")


class VillageWorld:
    """`settlement()` plays it. One source with three holders, two offers, one request."""

    source = 81_927
    given = 5_000_000

    def __init__(self) -> None:
        self.energy, self.market = address("energy"), address("market")
        self.seller, self.buyer = address("seller"), address("buyer")
        self.owner, self.others = address("owner"), (address("neighbour"), address("community"))
        self.meters = (Household(7, BEGIN, steady=9_000), Household(11, BEGIN, steady=-9_000))
        self.logs: list[tuple[bytes, Log]] = []
        self.shares: dict[bytes, int] = {}
        self.earned: dict[bytes, int] = {}
        self.supply = 0
        self.orders: dict[bytes, tuple[bool, int, int]] = {}
        self.money = {self.seller: 0, self.buyer: self.given}
        self._transactions = 0

    # The token

    def log(
        self, where: bytes, signature: str, indexed: tuple[int | bytes, ...], data: bytes, *, same: bool = False
    ) -> None:
        if not same:
            self._transactions += 1
        topics = (keccak(text=signature), *(word(value) for value in indexed))
        self.logs.append((where, Log(word(self._transactions), topics, data)))

    def counter(self, at: int) -> int:
        return exported_wh(self.meters[0].at(at).registers)

    def said(self, at: int) -> int:
        """What the gateway signs as the counter."""
        return self.counter(at)

    def move(self, sender: bytes, receiver: bytes, amount: int) -> None:
        for holder, change in ((sender, -amount), (receiver, amount)):
            if any(holder):
                self.shares[holder] = self.shares.get(holder, 0) + change
        data = encode(["address", "uint256"], [self.owner, amount])
        self.log(self.energy, SHARES, (sender, receiver, self.source), data)

    def credit(self, made: int) -> None:
        """mWh to the holders, by their shares."""
        total = sum(self.shares.values())
        for holder, part in self.shares.items():
            self.earned[holder] = self.earned.get(holder, 0) + made * part // total

    def mint(self) -> None:
        data = encode(["uint64", "uint48", "uint64"], [self.counter(BEGIN), 20_000, 1_000_000])
        signature = "SourceRegistered(uint64,address,address,uint64,uint48,uint64)"
        self.log(self.energy, signature, (self.source, self.owner, address("device")), data)
        self.move(bytes(20), self.owner, 1_000_000)
        last = self.counter(BEGIN)
        for index, at in enumerate(range(BEGIN + 5, LAST + 1, 5), 1):
            if index == 3:
                self.move(self.owner, self.others[0], 300_000)
                self.move(self.owner, self.others[1], 100_000)
            counter = self.said(at)
            self.log(
                self.energy, PRODUCED, (self.source,), encode(["uint32", "uint64", "uint40"], [index, counter, at])
            )
            made = (counter - last) * 1_000
            last = counter
            self.supply += made
            self.credit(made)

    # The market

    def order_id(self, number: int, sells: bool, wh: int, price: int) -> bytes:
        return hashlib.sha256(bytes([number])).digest()

    def fills(self) -> list[Fill]:
        book, found = Book(), []
        for number, (sells, wh, price) in enumerate(((True, 12, 200_000), (True, 15, 220_000), (False, 27, 250_000))):
            key = self.order_id(number, sells, wh, price)
            self.orders[key] = (sells, wh, price)
            party = self.seller if sells else self.buyer
            found += book.submit(Resting(key, party, sells, price, wh))
        return found

    def reported(self, contracts: Mapping[bytes, int]) -> tuple[dict[bytes, int], dict[bytes, int]]:
        """What the seller and the buyer report, by their meters."""
        out = share_delivery(self.counter(START), self.counter(END), contracts)
        counters = [imported_wh(self.meters[1].at(at).registers) for at in (START, END)]
        return out, share_delivery(counters[0], counters[1], contracts)

    def delivered(self, contracts: Mapping[bytes, int]) -> dict[bytes, int]:
        """The smaller of what both report."""
        out, taken = self.reported(contracts)
        return {key: min(out[key], taken[key]) for key in contracts}

    def due(self, wh: int, price: int) -> int:
        return amount_due(wh, price, 0)

    def trade(self) -> None:
        contracts: dict[bytes, Fill] = {}
        for number, fill in enumerate(self.fills()):
            contract_id = hashlib.sha256(b"contract" + bytes([number])).digest()
            contracts[contract_id] = fill
            amount = fill.wh * fill.price // 1_000
            values = [fill.offer, fill.request, fill.wh, fill.price, amount, True]
            types = ["bytes32", "bytes32", "uint64", "uint88", "uint88", "bool"]
            self.log(self.market, MATCHED, (contract_id, self.seller, self.buyer), encode(types, values))
        wh = self.delivered({key: fill.wh for key, fill in contracts.items()})
        dues = {key: self.due(wh[key], fill.price) for key, fill in contracts.items()}
        for key, due in dues.items():
            self.log(
                self.market, "Delivered(bytes32,uint64,uint88)", (key,), encode(["uint64", "uint88"], [wh[key], due])
            )
        self.pay(dues)

    def pay(self, dues: Mapping[bytes, int]) -> None:
        """All contracts in one transaction."""
        for number, (key, due) in enumerate(dues.items()):
            self.transfer(key, due, same=number > 0)

    def transfer(self, key: bytes, due: int, *, same: bool) -> None:
        self.log(self.market, "Paid(bytes32,uint88)", (key,), encode(["uint88"], [due]), same=same)
        self.money[self.buyer] -= due
        self.money[self.seller] += due

    # The record

    def telegrams(self, meter: Household) -> tuple[Telegram, ...]:
        return tuple(_telegram(meter.at(at)) for at in range(BEGIN, LAST + 1))

    def settlement(self) -> Settlement:
        self.mint()
        self.trade()
        return Settlement(
            energy=self.energy,
            market=self.market,
            source=self.source,
            seller=self.seller,
            buyer=self.buyer,
            logs=tuple(self.logs),
            shares=tuple(Share(holder, n, self.earned[holder], 0) for holder, n in self.shares.items()),
            supply=self.supply,
            wallets={self.seller: 0, self.buyer: 0},
            books=dict(self.money),
            given={self.buyer: self.given},
            vault=self.given,
            orders=dict(self.orders),
            delivery=(START, END),
            made=self.telegrams(self.meters[0]),
            used=self.telegrams(self.meters[1]),
        )


def _telegram(state: MeterState) -> Telegram:
    return Telegram(state.time, dict(state.registers), {}, state.gas, True)
