"""What waits for others, by the contract that it goes to."""

from __future__ import annotations

from dataclasses import replace

from node.ledger.book import TransactionBook
from node.ledger.transaction import Call, Transaction, TxState

MARKET, ENERGY = b"\x01" * 20, b"\x02" * 20


def waiting(number: int, to: bytes, state: TxState = TxState.GATHERED) -> Transaction:
    return Transaction(number.to_bytes(32, "big"), 31337, b"\x09" * 20, Call(to, b""), 0, state)


def gathered(book: TransactionBook, to: bytes = b"") -> list[int]:
    return [int.from_bytes(tx.key, "big") for tx in book.gathered(to)]


def test_each_contract_has_its_own_in_the_order_of_their_coming() -> None:
    book = TransactionBook(waiting(n, (MARKET, ENERGY)[n % 2]) for n in (4, 1, 3, 2))
    book.put(waiting(6, MARKET, TxState.QUEUED))
    assert (gathered(book, MARKET), gathered(book, ENERGY), gathered(book)) == ([4, 2], [1, 3], [4, 1, 3, 2])
    assert gathered(book, b"\x03" * 20) == []
    assert book.waiting == 5


def test_what_moves_on_waits_no_longer_and_comes_last_when_it_comes_back() -> None:
    book = TransactionBook(waiting(n, MARKET) for n in range(5))
    book.put(replace(waiting(0, MARKET), state=TxState.CARRIED, carrier=b"\x07" * 32))
    book.put(replace(waiting(1, MARKET), state=TxState.REFUSED))
    book.put(replace(waiting(2, MARKET), state=TxState.QUEUED))
    assert gathered(book, MARKET) == gathered(book) == [3, 4]
    book.put(waiting(3, MARKET))
    assert gathered(book, MARKET) == gathered(book) == [4, 3]
