"""One side for each account in each delivery (A-19, M-44)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.services.market.sides import Sides

A, B = b"\x01" * 20, b"\x02" * 20
SLOT, NEXT = (900, 1_800), (1_800, 2_700)


def test_an_account_is_free_again_when_nothing_binds_it() -> None:
    sides = Sides()
    sides.note(SLOT, A, True, b"1", binds=True)
    sides.note(SLOT, A, True, b"2", binds=True)
    assert not sides.free(SLOT, A, False)
    assert sides.free(SLOT, A, True)
    assert sides.free(SLOT, B, False)
    assert sides.free(NEXT, A, False)
    sides.note(SLOT, A, True, b"1", binds=False)
    assert not sides.free(SLOT, A, False)
    sides.note(SLOT, A, True, b"2", binds=False)
    sides.note(SLOT, A, True, b"2", binds=False)
    assert sides.free(SLOT, A, False)


def test_a_delivery_that_is_over_is_forgotten_and_no_other() -> None:
    sides = Sides()
    for times in (SLOT, NEXT):
        sides.note(times, A, True, b"1", binds=True)
    sides.prune(1_799)
    assert not sides.free(SLOT, A, False)
    sides.prune(1_800)
    assert sides.free(SLOT, A, False)
    assert not sides.free(NEXT, A, False)


@given(st.lists(st.tuples(st.sampled_from((A, B)), st.booleans(), st.sampled_from((b"1", b"2", b"3")), st.booleans())))
def test_it_is_a_function_of_what_was_said_last(said: list[tuple[bytes, bool, bytes, bool]]) -> None:
    sides, last = Sides(), dict[tuple[bytes, bool, bytes], bool]()
    for account, sells, key, binds in said:
        sides.note(SLOT, account, sells, key, binds=binds)
        last[account, sells, key] = binds
    for account in (A, B):
        for sells in (True, False):
            bound = any(binds for (who, side, _), binds in last.items() if who == account and side is not sells)
            assert sides.free(SLOT, account, sells) is not bound
