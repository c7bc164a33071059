"""What settlement costs: contracts, payments, claims, nettings, anchors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak
from web3 import Web3

from contracts import deployment_call
from contracts.bindings import anchors as anchor_calls
from contracts.bindings import market as market_calls
from contracts.bindings import net_settlement as net_calls
from contracts.nettings import encode_entries
from keys.messages import Match, NetBatch, NetMandate, Offer, Payment, Provision, Request
from keys.messages.market import Anchor, Delegate, Deposit, Dispute, IssueClaim, Remind, Ruling, Withdraw
from scripts.measure_gas.bench import GENESIS, Bench, Row, anvil, raw

__all__ = ["measure_market"]

DAY = 86_400
WAIT, WINDOW = 14 * DAY, 3 * DAY
PARTIES, TRADES, BATCH = 20, 300, 250
RICH = 10**12
NOBODY = bytes(20)
DEADLINE = GENESIS + 1_000 * DAY
START, END = GENESIS - 600, GENESIS + 30_000
ESCROW = "escrow lock + release 111,800"
FIREFLY = "FireFly pinBatch 1,402"


def chunks(calls: list[bytes], size: int = 40) -> Iterator[list[bytes]]:
    """Cut a list into pieces that fit a transaction."""
    for start in range(0, len(calls), size):
        yield calls[start : start + size]


class Town:
    """A token, anchors, a market and a net settlement, an operator and households with money in both."""

    def __init__(self, web3: Web3) -> None:
        """Deploy everything."""
        self.web3 = web3
        self.anchors = Bench(web3, "Anchors")
        token = deployment_call("DevToken")
        self.anchors.send(token.data, to=token.to)
        self.token = token.address
        arguments = market_calls.encode_constructor(self.token, WAIT, self.anchors.address)
        self.market = Bench(web3, "Market", arguments)
        arguments = net_calls.encode_constructor(self.token, WAIT, self.anchors.address, WINDOW)
        self.net = Bench(web3, "NetSettlement", arguments)
        self.operator = self.market.account("operator")
        self.arbiter = self.market.account("arbiter")
        self.people = [self.market.account(f"household {index}") for index in range(PARTIES)]
        self.terms = self._publish()

    def _publish(self) -> bytes:
        body = market_calls.Terms(
            raw(self.operator), raw(self.arbiter), 900, 3600, DAY, DAY, 3 * DAY, 7 * DAY, 1_000, 200, False
        )
        self.market.send(market_calls.encode_publish_terms(body))
        return keccak(market_calls.abi_terms(body))

    def purse(self, account: LocalAccount, bench: Bench) -> None:
        """Give an account tokens that a contract may take."""
        mint = keccak(text="mint(address,uint256)")[:4] + encode(["address", "uint256"], [raw(account), RICH])
        approve = keccak(text="approve(address,uint256)")[:4]
        bench.send(mint, to=self.token)
        bench.send(approve + encode(["address", "uint256"], [bench.address, RICH]), account, to=self.token)

    def deposit(self, account: LocalAccount, amount: int) -> int:
        """Deposit in the market, relayed; return the gas."""
        self.purse(account, self.market)
        m = Deposit(raw(account), raw(self.operator), amount, self.market.nonce(account), DEADLINE)
        return self.market.gas(market_calls.encode_deposit(m, self.market.sign(account, m)))

    def travel(self, seconds: int) -> None:
        """Let time pass."""
        self.web3.provider.make_request("evm_increaseTime", [seconds])  # type: ignore[arg-type]
        self.web3.provider.make_request("evm_mine", [])  # type: ignore[arg-type]


class Trading:
    """Contracts between the households."""

    def __init__(self, town: Town) -> None:
        """Start with no contract."""
        self.town, self.bench = town, town.market
        self.count = 0

    def _order(self, kind: type[Offer] | type[Request], account: LocalAccount) -> Offer | Request:
        self.count += 1
        town = self.town
        return kind(
            raw(account),
            raw(town.operator),
            town.terms,
            NOBODY,
            NOBODY,
            2_000,
            250_000,
            START,
            END,
            self.count,
            DEADLINE,
        )

    def contract(self, seller: LocalAccount, buyer: LocalAccount) -> tuple[bytes, bytes]:
        """Return the id of a new contract, and the call that makes it."""
        bench, town = self.bench, self.town
        offer, request = self._order(Offer, seller), self._order(Request, buyer)
        ids = [bench.digest(offer), bench.digest(request)]
        m = Match(raw(town.operator), ids[0], ids[1], 2_000, 250_000, START, END, self.count, DEADLINE)
        signed = bench.sign(town.operator, m), bench.sign(seller, offer), bench.sign(buyer, request)
        return bench.digest(m), market_calls.encode_make_contract(m, offer, request, *signed)

    def provision(self, account: LocalAccount, contract: bytes) -> tuple[Provision, bytes]:
        """Return a report and its signature."""
        m = Provision(raw(account), raw(self.town.operator), contract, 2_000, DEADLINE)
        return m, self.bench.sign(account, m)

    def payment(self, account: LocalAccount, contracts: list[bytes]) -> bytes:
        """Return the call that pays contracts of the usual size."""
        amount = 500_000 * len(contracts)
        m = Payment(raw(account), raw(self.town.operator), tuple(contracts), amount, False, DEADLINE)
        return market_calls.encode_pay(m, self.bench.sign(account, m))

    def batch(self, calls: list[bytes]) -> None:
        """Send calls in batches that fit."""
        for piece in chunks(calls):
            self.bench.send(market_calls.encode_batch(piece))

    def deliver(self, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, bytes]]:
        """Make and deliver contracts between households by number; return the buyers' numbers with the ids."""
        people = self.town.people
        made: list[tuple[int, bytes]] = []
        matches, reports, answers = [], [], []
        for seller, buyer in pairs:
            contract, call = self.contract(people[seller], people[buyer])
            made.append((buyer, contract))
            matches.append(call)
            reports.append(market_calls.encode_report(*self.provision(people[seller], contract)))
            answers.append(market_calls.encode_answer(*self.provision(people[buyer], contract)))
        for calls in (matches, reports, answers):
            self.batch(calls)
        return made


def everybody() -> list[tuple[int, int]]:
    """Return 300 trades between 20 households: each buys 15 times, from 15 others."""
    return [((buyer + 1 + turn) % PARTIES, buyer) for buyer in range(PARTIES) for turn in range(TRADES // PARTIES)]


def measure_life(town: Town, trading: Trading) -> Iterator[Row]:
    """Measure one trade, step by step."""
    seller, buyer = town.people[:2]
    contract, call = trading.contract(seller, buyer)
    yield Row("match of an offer and a request, relayed", town.market.gas(call))
    call = market_calls.encode_report(*trading.provision(seller, contract))
    yield Row("provision, first report, relayed", town.market.gas(call))
    call = market_calls.encode_answer(*trading.provision(buyer, contract))
    yield Row("provision, second report, relayed", town.market.gas(call))
    yield Row("payment of one contract, relayed", town.market.gas(trading.payment(buyer, [contract])), None, ESCROW)


def measure_payments(town: Town, trading: Trading) -> Iterator[Row]:
    """Measure payments in batches: one signature for each payer, and one for each trade."""
    trading.batch([trading.payment(town.people[n], [c]) for n, c in trading.deliver(everybody()[:: TRADES // PARTIES])])
    made = trading.deliver(everybody())
    calls = [trading.payment(town.people[n], [c for buyer, c in made if buyer == n]) for n in range(PARTIES)]
    gas = town.market.gas(market_calls.encode_batch(calls))
    name = f"settlement per trade, signed, {PARTIES}-party batch of {TRADES}"
    yield Row(name, -(-gas // TRADES), 10_500, ESCROW)
    made = trading.deliver(everybody())
    gas = town.market.gas(market_calls.encode_batch([trading.payment(town.people[n], [c]) for n, c in made]))
    yield Row(f"settlement per trade, each signed by itself, same batch of {TRADES}", -(-gas // TRADES), None, ESCROW)


def measure_claim(town: Town, trading: Trading) -> Iterator[Row]:
    """Measure a trade that is not paid, from the claim to the money."""
    seller, buyer, bench = town.people[0], town.people[1], town.market
    ((_, contract),) = trading.deliver([(0, 1)])
    head = raw(town.operator), contract
    for number in (1, 2, 3):
        town.travel(DAY)
        m = Remind(raw(seller), *head, number, DEADLINE)
        gas = bench.gas(market_calls.encode_remind(m, bench.sign(seller, m)))
        if number == 2:
            yield Row("reminder, relayed", gas)
    town.travel(DAY)
    claim = IssueClaim(raw(seller), *head, keccak(text="evidence"), DEADLINE)
    gas = bench.gas(market_calls.encode_issue_claim(claim, bench.sign(seller, claim)))
    dispute = Dispute(raw(buyer), *head, keccak(text="reason"), DEADLINE)
    gas += bench.gas(market_calls.encode_dispute(dispute, bench.sign(buyer, dispute)))
    ruling = Ruling(raw(town.arbiter), *head, 1_000, DEADLINE)
    gas += bench.gas(market_calls.encode_rule(ruling, bench.sign(town.arbiter, ruling)))
    gas += bench.gas(market_calls.encode_collect(*head))
    yield Row("disputed trade: claim, dispute, ruling and collection", gas, None, ESCROW)


def measure_money(town: Town) -> Iterator[Row]:
    """Measure deposit and withdrawal."""
    account, bench = town.people[2], town.market
    yield Row("deposit, relayed, later than the first", town.deposit(account, 10**6))
    m = Withdraw(raw(account), raw(town.operator), 10**6, bench.nonce(account), DEADLINE)
    yield Row("withdrawal, relayed", bench.gas(market_calls.encode_withdraw(m, bench.sign(account, m))))
    town.travel(WAIT)
    yield Row("payout", bench.gas(market_calls.encode_take_out(raw(town.operator), raw(account))))


def open_accounts(town: Town, people: list[LocalAccount]) -> None:
    """Give members of the net settlement a balance and a mandate."""
    bench = town.net
    town.purse(town.operator, bench)
    deposits = [net_calls.encode_deposit_for(raw(town.operator), raw(person), 10**6) for person in people]
    deposits.append(net_calls.encode_deposit_for(raw(town.operator), raw(town.operator), 10**9))
    mandates = []
    for person in people:
        m = NetMandate(raw(person), raw(town.operator), 10**6, DEADLINE, 1, DEADLINE)
        mandates.append(net_calls.encode_set_mandate(m, bench.sign(person, m)))
    for piece in chunks(deposits):
        bench.send(net_calls.encode_batch(piece), town.operator)
    for piece in chunks(mandates, 100):
        bench.send(net_calls.encode_batch(piece))


def net_once(town: Town, people: int) -> int:
    """Net so many members, half of them debtors, settle and release; return the gas of both transactions."""
    bench = town.net
    now = int(town.web3.eth.get_block("latest")["timestamp"])
    period = now // DAY
    # Number 1 is the operator.
    debits = encode_entries([(2 + 2 * n, 1_000 + n) for n in range(people // 2)])
    credits = encode_entries([(3 + 2 * n, 1_000 + n) for n in range(people // 2)])
    root = keccak(text="lines")
    m = NetBatch(raw(town.operator), period, root, keccak(debits), keccak(credits), DEADLINE)
    receipt = bench.send(net_calls.encode_settle_net(m, debits, credits, bench.sign(town.operator, m)))
    settled_at = int(town.web3.eth.get_block(receipt["blockNumber"])["timestamp"])
    town.travel(WINDOW)
    net = net_calls.Net(root, keccak(debits), keccak(credits), settled_at)
    released = bench.gas(net_calls.encode_release_net(raw(town.operator), period, net, credits))
    return int(receipt["gasUsed"]) + released


def measure_nets(town: Town) -> Iterator[Row]:
    """Measure nettings of 100 and of 1,000 members, who have all been netted before.

    An operator's record of a day is written over 32 days later; the first one costs more.
    """
    accounts = [town.net.account(f"member {index}") for index in range(1_000)]
    open_accounts(town, accounts)
    net_once(town, 1_000)
    gas = net_once(town, 100)
    yield Row("per party netted, 100 parties, an operator's first month", -(-gas // 100), None, ESCROW)
    for people in (100, 1_000):
        town.travel(32 * DAY - WINDOW)
        gas = net_once(town, people)
        name = f"per party netted, {people:,} parties, settled and released"
        yield Row(name, -(-gas // people), 6_500, ESCROW)


def measure_anchors(town: Town) -> Iterator[Row]:
    """Measure a batch of anchored messages in the log, with the head in state, and a delegation."""
    bench, operator = town.anchors, town.operator
    first = keccak(text="first root")
    head = bytes(32)
    for name, root in (("", first), ("later", keccak(text="second root"))):
        m = Anchor(raw(operator), head, root, BATCH, DEADLINE)
        gas = bench.gas(anchor_calls.encode_anchor(m, b""), operator)
        head = keccak(head + root)
        if name:
            yield Row(f"anchored message in a batch of {BATCH}, head in state", -(-gas // BATCH), None, FIREFLY)
    gas = bench.gas(anchor_calls.encode_anchor_log(head, keccak(text="third root"), BATCH), operator)
    yield Row(f"anchored message in a batch of {BATCH}", -(-gas // BATCH), 100, FIREFLY)
    person = town.people[0]
    delegate = Delegate(raw(person), raw(town.arbiter), 1, DEADLINE, bench.nonce(person), DEADLINE)
    yield Row("delegation, relayed", bench.gas(anchor_calls.encode_delegate(delegate, bench.sign(person, delegate))))


def measure_market() -> Iterator[Row]:
    """Measure on a fresh chain."""
    with anvil("--hardfork", "prague", "--gas-limit", "60000000") as web3:
        town = Town(web3)
        for person in town.people:
            town.deposit(person, 10**9)
        trading = Trading(town)
        yield from measure_life(town, trading)
        yield from measure_payments(town, trading)
        yield from measure_anchors(town)
        # From here on time passes.
        yield from measure_claim(town, trading)
        yield from measure_money(town)
        yield from measure_nets(town)
