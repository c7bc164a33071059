"""Contracts of a market that nets: what may be made, and what of it counts as delivered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.services.market.errors import LineRefused
from node.services.market.netcontracts import NetContract, Reports, check_exposure, check_order_day, delivered
from node.services.market.netting import DAY, MOST_LINES

MADE = NetContract(
    b"\x01" * 32, b"\x02" * 32, b"\x03" * 20, b"\x04" * 20, 1_000, 250, 20 * DAY, 20 * DAY + 900, b"\x05" * 32
)


def test_the_id_commits_to_every_field() -> None:
    changes: dict[str, Any] = {
        "offer": b"\x09" * 32, "request": b"\x09" * 32, "seller": b"\x09" * 20, "buyer": b"\x09" * 20, "wh": 999,
        "price": 251, "start": 20 * DAY + 1, "end": 20 * DAY + 901, "nonce": b"\x09" * 32,
    }  # fmt: skip
    ids = {replace(MADE, **{name: value}).contract_id for name, value in changes.items()}
    assert len(ids | {MADE.contract_id}) == len(changes) + 1


def test_a_delivery_is_of_one_day() -> None:
    check_order_day(20 * DAY, 21 * DAY)
    check_order_day(21 * DAY - 900, 21 * DAY)
    for start, end in ((21 * DAY - 1, 21 * DAY + 1), (20 * DAY, 21 * DAY + 1), (20 * DAY, 30 * DAY)):
        with pytest.raises(LineRefused, match="one day"):
            check_order_day(start, end)


def test_a_buyer_owes_no_more_than_its_mandate_covers() -> None:
    """Only its own contracts of the same day count, and each with all that it may come to."""
    other = replace(MADE, buyer=b"\x07" * 20)
    later = replace(MADE, start=21 * DAY, end=21 * DAY + 1)
    check_exposure([MADE, other, later], MADE, 500)
    with pytest.raises(LineRefused, match="do not cover"):
        check_exposure([MADE, other, later], MADE, 499)
    with pytest.raises(LineRefused, match="at most"):
        check_exposure([replace(MADE, wh=0)] * MOST_LINES, MADE, 10**9)


@pytest.mark.parametrize(
    ("sold", "used", "graced", "wh"),
    [
        (None, None, False, None),
        (None, None, True, None),
        (900, None, False, None),
        (None, 700, False, None),
        (900, None, True, 900),
        (None, 700, True, 700),
        (900, 700, False, 700),
        (600, 700, True, 600),
        (5_000, 6_000, False, 1_000),
        (5_000, None, True, 1_000),
        (0, 700, False, 0),
    ],
)
def test_a10_what_counts_as_delivered(sold: int | None, used: int | None, graced: bool, wh: int | None) -> None:
    assert delivered(MADE, Reports(sold, used), graced=graced) == wh
