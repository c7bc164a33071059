"""The second half's stage: a community, a market, a second household, their contracts, and what is read at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from eth_utils.address import to_canonical_address
from eth_utils.crypto import keccak

from node.app.demo.chainwatch import ChainWatch
from node.app.demo.evidence import Log, Settlement, Share
from node.app.demo.nodes import DemoNode
from node.app.demo.truthfile import read_truth

__all__ = ["BUYER", "COMMUNITY", "MARKET", "NEIGHBOUR", "VILLAGERS", "Contracts", "Village"]

COMMUNITY: Final = "community"
MARKET: Final = "market"
BUYER: Final = "buyer"
NEIGHBOUR: Final = "neighbour"
VILLAGERS: Final = (COMMUNITY, MARKET, BUYER, NEIGHBOUR)

WORD: Final = 32


@dataclass(frozen=True, slots=True)
class Contracts:
    """Addresses (bytes20) of the community's token, the market and the money."""

    energy: bytes
    market: bytes
    money: bytes

    def settings(self) -> dict[str, Any]:
        """The config section of every node that takes part; a reading every few seconds, not every quarter hour."""
        return {
            "energy_token": "0x" + self.energy.hex(),
            "market": "0x" + self.market.hex(),
            "reading_interval_s": 5,
            "answer_after_s": 20,
            "payment_every_s": 1,
        }


def _word(value: int | bytes) -> str:
    raw = value.to_bytes(WORD, "big") if isinstance(value, int) else value.rjust(WORD, b"\x00")
    return raw.hex()


@dataclass(slots=True)
class Village:
    """What the second half gathers. Balances are asked for over bare JSON-RPC, with calls put together by hand."""

    watch: ChainWatch
    contracts: Contracts
    nodes: Mapping[str, DemoNode]
    made: Any
    used: Any
    source: int = 0
    seller: bytes = b""
    buyer: bytes = b""
    holders: list[bytes] = field(default_factory=list)
    given: dict[bytes, int] = field(default_factory=dict)
    orders: dict[bytes, tuple[bool, int, int]] = field(default_factory=dict)
    delivery: tuple[int, int] = (0, 0)

    async def ask(self, contract: bytes, function: str, *values: int | bytes) -> tuple[int, ...]:
        """One view: the words of its answer."""
        data = "0x" + keccak(text=function)[:4].hex() + "".join(_word(value) for value in values)
        call = {"to": "0x" + contract.hex(), "data": data}
        answer = bytes.fromhex((await self.watch.call("eth_call", call, "latest"))[2:])
        return tuple(int.from_bytes(answer[at : at + WORD], "big") for at in range(0, len(answer), WORD))

    async def logs(self) -> tuple[tuple[bytes, Log], ...]:
        """All logs of the three contracts on the present chain, in order, with the contract that wrote them."""
        addresses = ["0x" + each.hex() for each in (self.contracts.energy, self.contracts.market, self.contracts.money)]
        found = await self.watch.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": addresses})
        return tuple(
            (
                to_canonical_address(each["address"]),
                Log(_raw(each["transactionHash"]), tuple(_raw(t) for t in each["topics"]), _raw(each["data"])),
            )
            for each in found
        )

    async def freeze(self) -> Settlement:
        """Everything that the checks of the second half are functions of."""
        contracts, accounts = self.contracts, (self.seller, self.buyer)
        operator = to_canonical_address(self.nodes[MARKET].addresses["wallet"])
        shares = []
        for holder in self.holders:
            shares.append(
                Share(
                    holder,
                    (await self.ask(contracts.energy, "balanceOf(address,uint256)", holder, self.source))[0],
                    (await self.ask(contracts.energy, "balanceOf(address)", holder))[0],
                    (await self.ask(contracts.energy, "claimable(uint64,address)", self.source, holder))[0],
                )
            )
        member = "memberOf(address,address)"
        return Settlement(
            energy=contracts.energy,
            market=contracts.market,
            source=self.source,
            seller=self.seller,
            buyer=self.buyer,
            logs=await self.logs(),
            shares=tuple(shares),
            supply=(await self.ask(contracts.energy, "totalSupply()"))[0],
            wallets={a: (await self.ask(contracts.money, "balanceOf(address)", a))[0] for a in accounts},
            books={a: (await self.ask(contracts.market, member, operator, a))[0] for a in accounts},
            given=dict(self.given),
            vault=(await self.ask(contracts.money, "balanceOf(address)", contracts.market))[0],
            orders=dict(self.orders),
            delivery=self.delivery,
            made=read_truth(self.made.truth),
            used=read_truth(self.used.truth),
        )


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
