"""The stored form of a transaction: read back the same, of every version; damage is told, never guessed away."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ledger.document import read, row_of
from node.ledger.reverts import Reason
from node.ledger.transaction import Attempt, Call, Inclusion, Transaction, TxState
from node.storage.transactions import TransactionRow

numbers = st.integers(0, 2**63)
hashes = st.binary(min_size=32, max_size=32)
data = st.one_of(st.binary(max_size=70), st.binary(min_size=100, max_size=120))


@st.composite
def calls(draw: st.DrawFn) -> Call:
    found = draw(data)
    item = draw(st.one_of(st.just(b""), st.just(found), data))
    to = draw(st.binary(min_size=20, max_size=20))
    return Call(to, found, draw(st.integers(0, 2**256 - 1)), draw(numbers), draw(numbers), draw(numbers), item)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    call = draw(calls())
    # What is signed has the call in it, in one piece, unless it cancels; also where the call is found more than once.
    raw = st.builds(lambda a, b, times: a + call.data * times + b, st.binary(), st.binary(), st.integers(0, 2))
    attempts = st.builds(Attempt, hashes, raw, numbers, numbers, numbers, st.booleans())
    inclusion = st.builds(Inclusion, numbers, hashes, hashes, numbers, st.integers(0, 2**100), st.booleans())
    reason = st.builds(Reason, st.text(), st.lists(st.tuples(st.text(), st.text())).map(tuple), st.text())
    return Transaction(
        draw(hashes),
        draw(numbers),
        draw(st.binary(min_size=20, max_size=20)),
        call,
        draw(numbers),
        draw(st.sampled_from(TxState)),
        draw(st.none() | numbers),
        draw(numbers),
        tuple(draw(st.lists(attempts, max_size=3))),
        draw(st.none() | inclusion),
        draw(st.none() | reason),
        draw(numbers),
        draw(st.none() | hashes),
        tuple(draw(st.lists(hashes, max_size=3))),
    )


DAMAGE = "stored|Expecting|unpack|TxState"


@given(transactions())
def test_what_is_stored_reads_back_the_same(tx: Transaction) -> None:
    assert read(row_of(tx)) == tx


@given(transactions(), transactions())
def test_a_step_is_read_with_the_call_of_the_one_before(before: Transaction, after: Transaction) -> None:
    after = replace(after, call=before.call, members=before.members)
    step = row_of(after, before)
    assert step.call is None
    assert read(replace(step, call=row_of(before).call)) == after
    assert row_of(replace(after, call=replace(before.call, known_gas=2**63 + 1)), before).call is not None
    assert row_of(replace(after, members=(*before.members, b"\0" * 32)), before).call is not None


def batch() -> Transaction:
    """One that carries a hundred others, sent twice and in a block."""
    call = Call(b"t" * 20, b"\x01\x02\x03" * 10_000, known_gas=9)
    members = tuple(bytes([n]) * 32 for n in range(100))
    tries = tuple(Attempt(bytes([n]) * 32, b"\x02\xf9" + call.data + bytes([n]) * 65, 7, 6, 5) for n in range(2))
    found = Inclusion(7, b"\x0b" * 32, b"\x0a" * 32, 21_000, 10**9, True)
    return Transaction(
        b"k" * 32, 5, b"s" * 20, call, 1_700, TxState.MINED, 4, 9, tries, found, order=3, members=members
    )


def test_a_step_of_a_batch_is_short_although_each_of_its_signed_versions_has_the_whole_call() -> None:
    tx = batch()
    assert len(row_of(tx, tx).document) < 1_000
    assert len(row_of(tx).call or b"") < len(tx.call.data) + len(tx.members) * 32 + 200


def test_numbers_and_words_that_others_tell_are_kept_whatever_they_are() -> None:
    tx = batch()
    assert tx.inclusion is not None
    for told in (replace(tx.inclusion, block_number=2**200), replace(tx.inclusion, gas_used=2**64)):
        assert read(row_of(replace(tx, inclusion=told))).inclusion == told
    why = Reason("\ud800", (("\0", "\udfff"),), "\u20ac")
    assert read(row_of(replace(tx, reason=why))).reason == why


def test_an_address_of_another_length_is_not_stored() -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        row_of(replace(batch(), call=Call(b"t" * 19, b"")))


def test_a_stored_transaction_names_its_version_and_tells_of_damage() -> None:
    row = row_of(batch())
    packed = row.call or b""
    with pytest.raises(ValueError, match="version 4"):
        read(replace(row, document=row.document.replace('"v":3', '"v":4')))
    with pytest.raises(ValueError, match="version 2"):
        read(replace(row, call=b"\x02" + packed[1:]))
    for damaged in ('{"v":1}', '{"v":3}', row.document.replace('"inclusion":[7,', '"inclusion":['), "[]", '"v"', "{"):
        with pytest.raises(ValueError, match=DAMAGE):
            read(replace(row, document=damaged))
    for call in (None, b"", packed[:50], packed[:200], b"\x01\x01" + packed[2:] + b"x", b"{", b'{"to":"00"}'):
        with pytest.raises(ValueError, match=DAMAGE):
            read(replace(row, call=call))
    with pytest.raises(ValueError, match=DAMAGE):
        read(replace(row, status="elsewhere"))


FIRST = {
    "v": 1, "key": "aa" * 32, "chain_id": 5, "sender": "bb" * 20, "to": "cc" * 20, "data": "01", "value": "2",
    "gas_fallback": 9, "least_gas": 8, "created_at": 1700, "state": "sent", "nonce": 4, "gas": 50000,
    "attempts": [["0a0b", "dd" * 32, "7", "6", 1701]], "inclusion": None, "reason": None,
}  # fmt: skip
SECOND = FIRST | {
    "v": 2, "order": 3, "carrier": "ee" * 32, "members": ["ff" * 32], "known_gas": 7, "item": "02", "state": "mined",
    "attempts": [["0a0b", "dd" * 32, "7", "6", 1701, True]], "inclusion": [6, "ab" * 32, "dd" * 32, 5, "4", True],
    "reason": ["A", [["b", "c"]], "D."],
}  # fmt: skip


def stored(doc: dict[str, object], call: bytes | None) -> TransactionRow:
    text = json.dumps(doc, separators=(",", ":"))
    return TransactionRow(5, b"\xbb" * 20, b"\xaa" * 32, 4, "sent", False, 1_700, text, call)


def test_a_transaction_of_the_first_two_versions_still_reads() -> None:
    first = read(stored(FIRST, None))
    assert first.attempts == (Attempt(b"\xdd" * 32, b"\x0a\x0b", 7, 6, 1701),)
    assert first.call == Call(b"\xcc" * 20, b"\x01", 2, 9, 8)
    second = read(stored(SECOND, None))
    assert second == Transaction(
        b"\xaa" * 32,
        5,
        b"\xbb" * 20,
        Call(b"\xcc" * 20, b"\x01", 2, 9, 8, 7, b"\x02"),
        1_700,
        TxState.MINED,
        4,
        50_000,
        (Attempt(b"\xdd" * 32, b"\x0a\x0b", 7, 6, 1701, True),),
        Inclusion(6, b"\xab" * 32, b"\xdd" * 32, 5, 4, True),
        Reason("A", (("b", "c"),), "D."),
        3,
        b"\xee" * 32,
        (b"\xff" * 32,),
    )


@pytest.mark.parametrize("doc", [FIRST, SECOND], ids=("1", "2"))
def test_the_document_of_an_earlier_version_serves_as_the_call_of_what_is_written_now(doc: dict[str, object]) -> None:
    """The migration puts it there for what may still move."""
    before = read(stored(doc, None))
    step = row_of(replace(before, gas=77), before)
    assert step.call is None
    assert read(replace(step, call=json.dumps(doc).encode())) == replace(before, gas=77)
