"""What is left out waits for a time that was agreed, however the lines hang together: market.md, Settlement."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from node.services.market.netting import DAY, NetLine
from node.services.market.setoff import set_off
from node.services.market.waiting import MOST_WAIT_S, OLDEST_DAYS, Sale, has_to_wait, wait_ends, waits

PEOPLE = [bytes([n]) * 20 for n in range(1, 8)]
PERIOD = 20_000
NETTED = (PERIOD + 1) * DAY + 3_600
HOUR = 3_600

GRAPHS = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.integers(1, 10**6)).filter(lambda x: x[0] != x[1]),
    max_size=30,
).map(lambda rows: [NetLine(n.to_bytes(32, "big"), *row) for n, row in enumerate(rows)])
TIMES = st.lists(st.tuples(st.integers(HOUR, 5 * DAY), st.integers(HOUR, 5 * DAY)), min_size=30, max_size=30)


@dataclass
class Left:
    """A line as it goes on: what each of its partners signed, and what became of it."""

    line: NetLine
    owed: int
    until: int
    due_every: tuple[int, int]
    offered: bool = False
    asked: bool = False
    contracted: bool = False
    paid: int = 0
    reminders: int = 0
    since: int = 0
    waited_last: int = 0


@dataclass
class Town:
    """Parties that sign as soon as they may, but for those that never do; money only moves. Who signs puts in what it
    lacks after `brings` seconds, or never: None."""

    lines: list[Left]
    silent: set[bytes]
    brings: dict[bytes, int | None]
    balance: dict[bytes, int]
    reserved: int = 0
    given: int = 0
    claimed: set[bytes] = field(default_factory=set)

    def step(self, now: int) -> None:
        for each in self.lines:
            each.offered = each.line.creditor not in self.silent
            if not each.asked and self._waits(each, now):
                each.waited_last = now
            elif each.line.debtor not in self.silent:
                each.asked = True
        for each in self.lines:
            if each.contracted and not each.paid:
                self.reserved -= each.owed
                self.balance[each.line.creditor] += each.owed
                each.paid += each.owed
            elif each.offered and not each.contracted:
                self._contract_or_remind(each, now)

    def _waits(self, line: Left, now: int) -> bool:
        sales = [Sale(e.offered, e.contracted) for e in self.lines if e.line.creditor == line.line.debtor]
        return has_to_wait(line.until, now, sales)

    def _contract_or_remind(self, each: Left, now: int) -> None:
        debtor, brings = each.line.debtor, self.brings.get(each.line.debtor)
        if each.asked and brings is not None and now >= NETTED + brings:
            lacks = max(0, each.owed - self.balance[debtor])
            self.balance[debtor] += lacks
            self.given += lacks
        if each.asked and self.balance[debtor] >= each.owed:
            self.balance[debtor] -= each.owed
            self.reserved += each.owed
            each.contracted = True
            return
        if not each.asked and self._waits(each, now):
            each.since = 0
            return
        each.since = each.since or now
        if now >= each.since + each.due_every[1 if each.reminders else 0]:
            each.since = now
            each.reminders += 1
            if each.reminders > 3:
                self.claimed.add(each.line.leaf)


@given(
    GRAPHS, TIMES, st.sets(st.sampled_from(PEOPLE)),
    st.dictionaries(st.sampled_from(PEOPLE), st.none() | st.integers(0, 20 * DAY)),
    st.dictionaries(st.sampled_from(PEOPLE), st.integers(0, 10**6)),
)  # fmt: skip
def test_no_money_is_made_or_lost_and_everybodys_wait_ends(
    lines: list[NetLine],
    times: list[tuple[int, int]],
    silent: set[bytes],
    brings: dict[bytes, int | None],
    money: dict[bytes, int],
) -> None:
    """Whoever signs, whoever pays, however long the chains: each line is paid once or not at all, what is paid is what
    stayed owed, and in the end a line is open only where its seller does not sign, or its buyer is claimed against."""
    owed = set_off(lines)
    ends = {each.leaf: wait_ends(NETTED, PERIOD, *times[n]) for n, each in enumerate(lines)}
    found = waits(lines, owed, ends)
    town = Town(
        [Left(e, owed[e.leaf], found[e.leaf].until, times[n]) for n, e in enumerate(lines) if owed[e.leaf]],
        silent,
        brings,
        {account: money.get(account, 0) for account in PEOPLE},
    )
    at_first = sum(town.balance.values())
    for now in range(NETTED, NETTED + 45 * DAY, 6 * HOUR):
        town.step(now)
        assert sum(town.balance.values()) + town.reserved == at_first + town.given
    for account in PEOPLE:
        received = sum(e.paid for e in town.lines if e.line.creditor == account)
        spent = sum(e.paid for e in town.lines if e.line.debtor == account)
        assert town.balance[account] <= money.get(account, 0) + received - spent + town.given
    for each in town.lines:
        assert each.paid in (0, each.owed)
        assert each.waited_last < ends[each.line.leaf] <= NETTED + MOST_WAIT_S
        open_ = not each.paid
        assert not open_ or each.line.creditor in silent or each.line.leaf in town.claimed
        assert not open_ or silent & {each.line.debtor, each.line.creditor} or brings.get(each.line.debtor) is None


@given(GRAPHS)
def test_who_waits_is_waited_for_as_long(lines: list[NetLine]) -> None:
    """Both ends of a wait are told the same, and who sold nothing that stays owed waits for nothing."""
    owed = set_off(lines)
    found = waits(lines, owed, {each.leaf: 1_000 + n for n, each in enumerate(lines)})
    assert set(found) == {each.leaf for each in lines if owed[each.leaf]}
    open_ = [each for each in lines if owed[each.leaf]]
    for each in open_:
        sells = any(other.creditor == each.debtor for other in open_)
        assert bool(found[each.leaf].until) == sells
        waiting = [found[other.leaf].until for other in open_ if other.debtor == each.creditor]
        assert found[each.leaf].awaited == max(waiting, default=0)


@given(st.integers(0, 40 * DAY), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_wait_is_over_while_the_chain_still_has_the_batch(late: int, payment_due: int, reminder_every: int) -> None:
    """However long the terms are and however late the batch came: a buyer that waited may sign for two days more."""
    netted = (PERIOD + 1) * DAY + late
    ends = wait_ends(netted, PERIOD, payment_due, reminder_every)
    assert ends <= netted + min(MOST_WAIT_S, payment_due + 3 * reminder_every)
    assert (ends + 2 * DAY) // DAY - PERIOD <= OLDEST_DAYS


def test_a_chain_of_any_length_waits_as_long_as_its_shortest() -> None:
    """Nobody waits for a whole chain: each wait ends by its own terms, from the batch on."""
    lines = [NetLine(bytes([n]) * 32, PEOPLE[n], PEOPLE[n + 1], 100) for n in range(6)]
    owed = set_off(lines)
    ends = {each.leaf: wait_ends(NETTED, PERIOD, DAY, DAY) for each in lines}
    found = [waits(lines, owed, ends)[each.leaf] for each in lines]
    assert [each.until for each in found] == [0] + [NETTED + 4 * DAY] * 5
    assert [each.awaited for each in found] == [NETTED + 4 * DAY] * 5 + [0]
    assert has_to_wait(found[1].until, NETTED, [Sale(offered=True, contracted=False)])
    assert not has_to_wait(found[1].until, NETTED, [Sale(offered=False, contracted=False)]), "it waits for itself alone"
    assert not has_to_wait(found[1].until, NETTED, [Sale(offered=True, contracted=True)])
    assert not has_to_wait(found[1].until, NETTED + 4 * DAY, [Sale(offered=True, contracted=False)])
