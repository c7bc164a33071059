"""The second half with the real token and the real market on a real chain, and the twins that sign and send wrongly.

What is judged is what `Village.freeze` of the demo reads from that chain. A message that a contract refuses is not sent
again: its error is in `refused`, and the check must notice what did not come about.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.exceptions import ContractCustomError

from contracts.bindings import energy_token as energy
from contracts.bindings import market as market_calls
from contracts.readings import pack_reading
from keys import messages as m
from node.app.demo.evidence import Settlement
from node.app.demo.village import MARKET, Contracts, Village
from node.services.market.book import Fill
from node.services.simulator.household import Household
from scripts.measure_gas.bench import Bench, anvil, raw
from scripts.measure_gas.energy import Community
from scripts.measure_gas.market import NOBODY, RICH, Town
from tests.unit.app.demo.village import BEGIN, END, LAST, START, VillageWorld

__all__ = ["CHAIN_TWINS", "Chain", "ChainVillage", "chain_of_a_village"]

DEADLINE = BEGIN + 86_400
CHAIN_TWINS: list[tuple[str, type[ChainVillage], str, str]] = []


@dataclass(slots=True)
class Chain:
    """The contracts on a chain that goes back to where it was after each village."""

    web3: Web3
    community: Community
    town: Town

    @property
    def benches(self) -> Sequence[Bench]:
        return self.community.bench, self.town.market

    def ask(self, method: str, *params: Any) -> Any:
        answer: Any = self.web3.provider.make_request(cast(Any, method), list(params))
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def at(self, moment: int) -> None:
        """The next block is of this time; time never goes back."""
        head = int(self.web3.eth.get_block("latest")["timestamp"])
        self.ask("evm_setNextBlockTimestamp", max(moment, head + 1))

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever happens inside has not happened afterwards."""
        before, nonces = self.ask("evm_snapshot"), [dict(bench.nonces) for bench in self.benches]
        try:
            yield
        finally:
            self.ask("evm_revert", before)
            for bench, kept in zip(self.benches, nonces, strict=True):
                bench.nonces = kept


@contextmanager
def chain_of_a_village() -> Iterator[Chain]:
    with anvil("--hardfork", "prague", "--gas-limit", "60000000") as web3:
        yield Chain(web3, Community(web3), Town(web3))


class ChainVillage(VillageWorld):
    """As `VillageWorld`: a subclass breaks one part."""

    def __init__(self, chain: Chain, folder: Path) -> None:
        super().__init__()
        self.chain, self.folder = chain, folder
        self.community, self.bench = chain.community, chain.town.market
        self.energy, self.market = chain.community.bench.address, chain.town.market.address
        people = {name: self.bench.account(name) for name in ("seller", "buyer", "neighbour", "far neighbour")}
        self.accounts = {raw(account): account for account in people.values()}
        self.seller, self.buyer = raw(people["seller"]), raw(people["buyer"])
        self.owner = raw(chain.community.owner)
        self.others = (raw(people["neighbour"]), raw(people["far neighbour"]))
        self.signed_orders: dict[bytes, m.Offer | m.Request] = {}
        self.refused: list[str] = []

    # The token

    def mint(self) -> None:
        community, registrar = self.community, self.community.registrar
        nonce = community.bench.nonce(community.owner)
        message = m.RegisterSource(
            self.source, self.owner, raw(community.device), self.counter(BEGIN), 20_000, 1_000_000, nonce, DEADLINE
        )
        signatures = [community.sign(each, message) for each in (community.owner, community.device, registrar)]
        self.chain.at(BEGIN)
        community.bench.send(energy.encode_register_source(message, *signatures))
        for index, at in enumerate(range(BEGIN + 5, LAST + 1, 5), 1):
            if index == 3:
                self.share(self.others[0], 300_000)
                self.share(self.others[1], 100_000)
            reading = m.Reading(self.source, index, self.said(at), at)
            packed = pack_reading(reading, community.sign(community.device, reading))
            self.chain.at(at + 1)
            community.bench.send(energy.encode_submit_readings(packed))
        for holder in (self.owner, *self.others):
            self.claim(holder)

    def share(self, receiver: bytes, amount: int) -> None:
        community = self.community
        nonce = community.bench.nonce(community.owner)
        move = m.TransferShares(self.owner, receiver, self.source, amount, nonce, DEADLINE)
        community.bench.send(energy.encode_transfer_shares(move, community.sign(community.owner, move)))

    def claim(self, holder: bytes) -> None:
        self.community.bench.send(energy.encode_claim_energy(m.ClaimEnergy(holder, self.source)))

    # The market

    def order_id(self, number: int, sells: bool, wh: int, price: int) -> bytes:
        kind, account = (m.Offer, self.seller) if sells else (m.Request, self.buyer)
        operator, terms = raw(self.chain.town.operator), self.chain.town.terms
        order = kind(account, operator, terms, NOBODY, NOBODY, wh, price, START, END, number, DEADLINE)
        order_id = self.bench.digest(order)
        self.signed_orders[order_id] = order
        return order_id

    def tell(self, data: bytes) -> bool:
        """To the market, if it takes it; else its error is remembered."""
        call: Any = {"to": to_checksum_address(self.market), "data": data}
        try:
            self.chain.web3.eth.call(call)
        except ContractCustomError as refused:
            error = market_calls.decode_error(bytes.fromhex(str(refused.data).removeprefix("0x")))
            self.refused.append(error.name)
            return False
        self.bench.send(data)
        return True

    def agree(self) -> dict[bytes, int]:
        """Wh by contract that stands, before the delivery begins."""
        self.chain.at(BEGIN - 10)
        self.chain.town.deposit(self.accounts[self.buyer], self.given)
        made: dict[bytes, int] = {}
        for number, fill in enumerate(self.fills(), 1):
            contract_id = self.match(number, fill)
            if contract_id is not None:
                made[contract_id] = fill.wh
        return made

    def settle(self, made: Mapping[bytes, int]) -> None:
        """Both sides report, and the buyer pays what is owed."""
        for encode, account, reports in zip(
            (market_calls.encode_report, market_calls.encode_answer),
            (self.seller, self.buyer),
            self.reported(made),
            strict=True,
        ):
            for contract_id, wh in reports.items():
                said = m.Provision(account, raw(self.chain.town.operator), contract_id, wh, DEADLINE)
                self.tell(encode(said, self.bench.sign(self.accounts[account], said)))
        dues = {contract_id: self.owed(contract_id) for contract_id in made}
        self.pay({contract_id: due for contract_id, due in dues.items() if due})

    def match(self, number: int, fill: Fill) -> bytes | None:
        """Signed by all three; the contract's id, None if the market refuses."""
        operator: LocalAccount = self.chain.town.operator
        offer, request = self.signed_orders[fill.offer], self.signed_orders[fill.request]
        match = m.Match(raw(operator), fill.offer, fill.request, fill.wh, fill.price, START, END, number, DEADLINE)
        by = (operator, self.accounts[self.seller], self.accounts[self.buyer])
        signatures = [self.bench.sign(who, what) for who, what in zip(by, (match, offer, request), strict=True)]
        call = market_calls.encode_make_contract(match, cast(Any, offer), cast(Any, request), *signatures)
        return self.bench.digest(match) if self.tell(call) else None

    def owed(self, contract_id: bytes) -> int:
        """What the market said is owed for a delivery."""
        topic = "0x" + market_calls.Delivered.TOPIC.hex()
        query = {"fromBlock": "0x0", "toBlock": "latest", "address": "0x" + self.market.hex()}
        (log,) = self.chain.ask("eth_getLogs", query | {"topics": [topic, "0x" + contract_id.hex()]})
        return int(log["data"][2 + 64 : 2 + 128], 16)

    def pay(self, dues: Mapping[bytes, int]) -> None:
        """All contracts in one transaction."""
        if not dues:
            return
        payment = m.Payment(self.buyer, raw(self.chain.town.operator), tuple(dues), sum(dues.values()), False, DEADLINE)
        self.tell(market_calls.encode_pay(payment, self.bench.sign(self.accounts[self.buyer], payment)))

    # The record

    def settlement(self) -> Settlement:
        """In the order of time: contracts, the meter's readings, what was delivered."""
        with self.chain.undone():
            made = self.agree()
            self.mint()
            self.settle(made)
            return asyncio.run(self.village().freeze())

    async def _call(self, method: str, *params: Any) -> Any:
        return self.chain.ask(method, *params)

    def village(self) -> Village:
        """What the demo would hold of this village."""
        operator = to_checksum_address(raw(self.chain.town.operator))
        made, used = (SimpleNamespace(truth=self._truth(n, meter)) for n, meter in enumerate(self.meters))
        return Village(
            watch=cast(Any, SimpleNamespace(call=self._call)),
            contracts=Contracts(self.energy, self.market, self.chain.town.token),
            nodes=cast(Any, {MARKET: SimpleNamespace(addresses={"wallet": operator})}),
            made=cast(Any, made),
            used=cast(Any, used),
            source=self.source,
            seller=self.seller,
            buyer=self.buyer,
            holders=[self.owner, *self.others],
            given={self.buyer: RICH},
            orders=self.orders,
            delivery=(START, END),
        )

    def _truth(self, number: int, meter: Household) -> Path:
        """What a meter said, second by second, as the simulator's file has it."""
        path = self.folder / f"truth-{number}.jsonl"
        with path.open("w") as file:
            for at in range(BEGIN, LAST + 1):
                state = meter.at(at)
                line = {
                    "at": at, "meter_time": at, "registers": dict(state.registers), "power": {},
                    "gas": list(state.gas), "fault": None, "complete": True,
                }  # fmt: skip
                file.write(json.dumps(line) + "\n")
        return path


def _twin(name: str, says: str, refused: str = ""):  # type: ignore[no-untyped-def]
    """The check that must fail, a part of what it says, and the market's error if the market itself refuses."""

    def mark(village: type[ChainVillage]) -> type[ChainVillage]:
        CHAIN_TWINS.append((name, village, says, refused))
        return village

    return mark


@_twin("minted_from_readings", "the meter said")
class SignsMoreThanTheMeterSaid(ChainVillage):
    """Not more than the source's power allows: the token cannot know."""

    def said(self, at: int) -> int:
        return super().said(at) + 5


@_twin("minted_from_readings", "readings of the source are on chain")
class SendsNoReadings(ChainVillage):
    def said(self, at: int) -> int:
        """More than the source's power: the token refuses each one."""
        return super().said(at) + 100_000


@_twin("shares_get_their_part", "not everybody claimed")
class NeverPaysOut(ChainVillage):
    def claim(self, holder: bytes) -> None:
        return


@_twin("matches_are_within_limits", "0 contracts were made", "PriceOutsideLimits")
class MatchesAboveTheRequest(ChainVillage):
    def fills(self) -> list[Fill]:
        return [fill._replace(price=250_001) for fill in super().fills()]


@_twin("matches_are_within_limits", "1 contracts were made", "OverFilled")
class FillsAnOfferTwice(ChainVillage):
    """A-16."""

    def fills(self) -> list[Fill]:
        first, *_ = super().fills()
        return [first, first]


@_twin("deliveries_are_measured", "0 Wh count as delivered, the meters say")
class ReportsNothing(ChainVillage):
    """As if nobody had read a meter, on either side: nothing is owed."""

    def reported(self, contracts: Mapping[bytes, int]) -> tuple[dict[bytes, int], dict[bytes, int]]:
        return dict.fromkeys(contracts, 0), dict.fromkeys(contracts, 0)


@_twin("paid_in_one_batch", "took 2 transactions")
class PaysOneByOne(ChainVillage):
    def pay(self, dues: Mapping[bytes, int]) -> None:
        for contract_id, due in dues.items():
            super().pay({contract_id: due})


@_twin("paid_in_one_batch", "[] were paid")
class PaysNothing(ChainVillage):
    def pay(self, dues: Mapping[bytes, int]) -> None:
        return
