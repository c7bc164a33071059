"""What an account without a node believes of its market's netted contracts: pure, by its own orders and reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.client.book import Netted, OrderBook, Placed, SignedLeft
from node.client.left import check_line, check_set_off
from node.client.netted import allowed
from node.services.asset.errors import PaymentRefused
from node.services.asset.rules import Ordered
from node.services.market.netting import DAY, NetLine
from node.services.market.setoff import set_off
from node.wire.desk import DeskContract
from node.wire.settlement import NetLeftOut

ME, OTHER, OPERATOR, TERMS = b"\x01" * 20, b"\x02" * 20, b"\x03" * 20, b"t" * 32
OFFER, REQUEST = b"o" * 32, b"r" * 32
START = 20_000 * DAY + 3_600


def book(path: Path | None = None, *, wh: int = 1_000, price: int = 800) -> OrderBook:
    """I offered."""
    made = OrderBook(path)
    made.add(Ordered(OFFER, ME, wh, price), placed=Placed(TERMS, START, START + 900))
    return made


def contract(name: int = 1, **fields: Any) -> DeskContract:
    wanted: dict[str, Any] = {
        "id": bytes([name]) * 32, "status": "matched", "final": True, "seller": ME, "buyer": OTHER, "offer": OFFER,
        "request": REQUEST, "wh": 600, "price": 900, "start": START, "end": START + 900,
    }  # fmt: skip
    return DeskContract(**(wanted | fields))


def test_contracts_of_one_order_do_not_exceed_it_together() -> None:
    """Attack: each of two made-up contracts is within the order, both are not; told together or one after the other."""
    kept = book()
    found, beyond = allowed([contract(1), contract(2)], ME, kept)
    assert (list(found), beyond) == ([b"\x01" * 32], [b"\x02" * 32])
    found, beyond = allowed([contract(1), contract(3), contract(4, wh=400)], ME, kept)
    assert (list(found), beyond) == ([b"\x01" * 32, b"\x04" * 32], [b"\x03" * 32])
    assert kept.taken(OFFER) == 1_000


@pytest.mark.parametrize(
    "fields",
    [{"price": 799}, {"start": START - 1}, {"end": START + 901}, {"start": START + DAY, "end": START + DAY + 900}],
)
def test_a_contract_is_within_its_order(fields: dict[str, int]) -> None:
    assert allowed([contract(**fields)], ME, book()) == ({}, [b"\x01" * 32])


@pytest.mark.parametrize("fields", [{"wh": 500}, {"price": 901}, {"buyer": b"\x09" * 20}, {"start": START + 1}])
def test_a_contract_stays_what_it_was(fields: dict[str, Any]) -> None:
    kept = book()
    allowed([contract()], ME, kept)
    assert allowed([contract(**fields)], ME, kept) == ({}, [b"\x01" * 32])


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        ({"by_seller": 500, "by_buyer": 600, "delivered": 500, "due": 450}, (500, 450)),
        ({"by_seller": 500, "by_buyer": 400, "delivered": 400, "due": 360}, (400, 360)),
        ({"by_seller": 500, "delivered": 500, "due": 450}, (500, 450)),
        ({"by_seller": 500, "by_buyer": 600, "delivered": 400, "due": 360}, None),
        ({"by_seller": 300, "by_buyer": 600, "delivered": 300, "due": 270}, None),
        ({"by_seller": 500, "by_buyer": 600, "delivered": 500, "due": 449}, None),
        ({"by_buyer": 600, "delivered": 501, "due": 450}, None),
    ],
    ids=["own", "smaller", "alone", "less than both", "another own", "price", "more than own"],
)
def test_a10_what_counts_is_believed_where_it_is_the_smaller_report(
    told: dict[str, int], counts: tuple[int, int] | None
) -> None:
    kept = book()
    allowed([contract()], ME, kept)
    kept.say(b"\x01" * 32, 500)
    allowed([contract(status="delivered", **told)], ME, kept)
    assert kept.netted[b"\x01" * 32].counted == counts
    allowed([contract(status="delivered", by_seller=500, by_buyer=100, delivered=100, due=90)], ME, kept)
    assert kept.netted[b"\x01" * 32].counted == (counts or (100, 90)), "the first word that can be so counts"


def line(leaf: int, seller: bytes, buyer: bytes, amount: int, owed: int) -> NetLeftOut:
    return NetLeftOut(
        operator=OPERATOR, period=20_000, block=0, leaf=bytes([leaf]) * 32, request=REQUEST, seller=seller, buyer=buyer,
        wh=amount, price=1_000, amount=amount, owed=owed,
    )  # fmt: skip


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "orders"
    kept = book(path)
    allowed([contract()], ME, kept)
    kept.say(b"\x01" * 32, 500)
    allowed([contract(status="delivered", by_seller=500, by_buyer=500, delivered=500, due=450)], ME, kept)
    kept.left([line(7, ME, OTHER, 450, 450)])
    kept.sign(b"\x07" * 32, SignedLeft(b"s" * 32, TERMS, START))
    again = OrderBook(path)
    for name in ("netted", "lines", "signed"):
        assert getattr(again, name) == getattr(kept, name)
    assert (again.taken(OFFER), again.placed(OFFER)) == (600, kept.placed(OFFER))
    assert again.for_line(REQUEST, ME, OTHER, 900, START // DAY) == list(kept.netted.values())
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        OrderBook(path)
        assert path.read_bytes() == whole[: whole.rfind(b"\n", 0, cut) + 1], "a row is there whole or not at all"


def netted(name: int, wh: int, *, said: int | None, counted: bool) -> Netted:
    most = wh if said is None else min(said, wh)
    due = (most, most * 333 // 1000) if counted else None
    return Netted(bytes([name]) * 32, OFFER, REQUEST, ME, OTHER, wh, 333, START, said, due)


ROWS = st.tuples(st.integers(1, 10**6), st.none() | st.integers(0, 10**6), st.booleans())


@given(st.lists(ROWS, min_size=1, max_size=9))
def test_what_an_honest_market_makes_of_contracts_stands_up(rows: list[tuple[int, int | None, bool]]) -> None:
    """One line for all that a request takes of a seller at a price: each contract's amount is rounded by itself."""
    contracts = [netted(n + 1, wh, said=said, counted=counted) for n, (wh, said, counted) in enumerate(rows)]
    counts = [wh if said is None else min(said, wh) for wh, said, _ in rows]
    amount = sum(wh * 333 // 1000 for wh in counts)
    if not amount:
        return
    body = line(1, ME, OTHER, amount, amount).model_copy(update={"wh": sum(counts), "price": 333, "terms": TERMS})
    check_line(body, ME, contracts, TERMS)
    for change in ({"wh": body.wh + 1}, {"amount": amount + len(rows)}, {"amount": amount - len(rows)}):
        with pytest.raises(PaymentRefused):
            check_line(body.model_copy(update={"owed": None, **change}), ME, contracts, TERMS)


PEOPLE = [bytes([n]) * 20 for n in range(1, 6)]
GRAPHS = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.integers(1, 10**6)).filter(lambda x: x[0] != x[1]),
    max_size=30,
).map(lambda rows: [NetLine(n.to_bytes(32, "big"), *row) for n, row in enumerate(rows)])


@given(GRAPHS, st.integers(0, 10**6), st.integers(1, 10**6))
def test_every_party_sees_by_its_own_lines_what_was_set_off(lines: list[NetLine], which: int, less: int) -> None:
    """An honest set-off stands up for everybody; one that takes more off a single line does not for both of its
    partners."""
    owed = set_off(lines)
    bodies = [line(n, e.creditor, e.debtor, e.amount, owed[e.leaf]) for n, e in enumerate(lines)]
    for account in PEOPLE:
        check_set_off([e for e in bodies if account in (bytes(e.seller), bytes(e.buyer))], account)
    open_ = [n for n, e in enumerate(bodies) if e.due]
    if not open_:
        return
    lie = open_[which % len(open_)]
    taken = min(less, bodies[lie].due)
    bodies[lie] = bodies[lie].model_copy(update={"owed": bodies[lie].due - taken})
    for account in (bytes(bodies[lie].seller), bytes(bodies[lie].buyer)):
        with pytest.raises(PaymentRefused) as refused:
            check_set_off([e for e in bodies if account in (bytes(e.seller), bytes(e.buyer))], account)
        assert refused.value.field == "owed"
