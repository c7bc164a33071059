"""What waits for others is found by its contract, in the order of its coming."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.ledger.book import TransactionBook
from node.ledger.transaction import Call, Transaction, TxState

CONTRACTS = (b"\x01" * 20, b"\x02" * 20)
changes = st.tuples(
    st.integers(0, 6),
    st.sampled_from(CONTRACTS),
    st.sampled_from((TxState.GATHERED, TxState.GATHERED, TxState.CARRIED, TxState.QUEUED, TxState.REFUSED)),
)


@given(st.lists(changes))
def test_what_is_gathered_is_found_by_its_contract(told: list[tuple[int, bytes, TxState]]) -> None:
    book = TransactionBook()
    last: dict[int, Transaction] = {}
    for key, to, state in told:
        last.pop(key, None)
        last[key] = Transaction(bytes([key]) * 32, 1, b"s" * 20, Call(to, b""), 0, state)
        book.put(last[key])
        waiting = [tx for tx in last.values() if tx.state is TxState.GATHERED]
        assert list(book.gathered()) == waiting
        assert book.any_gathered() == bool(waiting)
        for contract in CONTRACTS:
            mine = [tx for tx in waiting if tx.call.to == contract]
            assert list(book.gathered(contract)) == mine
            assert book.any_gathered(contract) == bool(mine)
