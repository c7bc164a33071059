"""The digital twin of a trade (channels.md 7): own logs, one key, what was seen; forks are found with both entries."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.errors import (
    FormatError,
    RejectedError,
    SignatureRejected,
    TwinForked,
    TwinGap,
    UnknownVersion,
    UsageError,
)
from channels.twin import MAX_CONTENT, Seen, Twin, TwinEntry, twin_log_id
from keys.messages import Statement, market_domain
from keys.signers import LocalSigner

TRADE = b"\x11" * 32
KEY = b"\x22" * 32
DOMAIN = market_domain(31337, b"\x33" * 20)
SELLER, BUYER, MARKET = (LocalSigner(bytes([n]) * 32) for n in (1, 2, 3))
PARTIES = (SELLER.address, BUYER.address, MARKET.address)


def twin(key: bytes = KEY) -> Twin:
    return Twin(TRADE, key, PARTIES, DOMAIN)


def signed(entry: TwinEntry, signer: LocalSigner) -> bytes:
    return replace(entry, signature=asyncio.run(signer.sign_message(entry.statement(), DOMAIN))).encode()


def write(view: Twin, signer: LocalSigner, content: bytes, at: int = 100, instance: bytes = b"\x44" * 16) -> bytes:
    """The next entry as its author makes it: drafted, signed, accepted by itself."""
    data = signed(view.draft(signer.address, instance, content, at), signer)
    assert view.accept(data) is not None
    return data


def story() -> list[bytes]:
    """Five entries, each written by somebody who has seen all before it."""
    view = twin()
    return [
        write(view, MARKET, b"matched", 100),
        write(view, SELLER, b"delivered 900", 101),
        write(view, BUYER, b"delivered 900", 102),
        write(view, MARKET, b"payment requested", 103),
        write(view, BUYER, b"paid", 104),
    ]


def test_all_holders_read_the_same_events_in_the_same_order() -> None:
    view = twin()
    for data in story():
        told = view.accept(data)
        assert told is not None
    assert [told.content for told in view.timeline()] == [
        b"matched",
        b"delivered 900",
        b"delivered 900",
        b"payment requested",
        b"paid",
    ]
    assert [told.entry.seq for told in view.log(BUYER.address)] == [1, 2]
    assert view.missing() == ()


@given(order=st.permutations(range(5)), again=st.integers(0, 4))
@settings(deadline=None, max_examples=40)
def test_the_order_of_arrival_does_not_matter(order: list[int], again: int) -> None:
    entries = story()
    view, waiting = twin(), [entries[number] for number in [*order, again]]
    while waiting:
        later = []
        for data in waiting:
            try:
                view.accept(data)
            except TwinGap:
                later.append(data)
        assert len(later) < len(waiting)
        waiting = later
    assert [told.entry.encode() for told in view.timeline()] == entries


def test_what_is_held_already_is_accepted_once() -> None:
    view, data = twin(), story()[0]
    assert view.accept(data) is not None
    assert view.accept(data) is None
    assert len(view.log(MARKET.address)) == 1


def test_what_was_seen_and_is_not_here_is_missing() -> None:
    view = twin()
    entries = story()
    assert view.accept(entries[0]) is not None
    assert view.accept(entries[3]) is not None, "the market's second entry does not need the others' to be accepted"
    assert view.missing() == tuple(sorted([(SELLER.address, 1, 1), (BUYER.address, 1, 1)]))
    with pytest.raises(TwinGap) as gap:
        view.accept(entries[4])
    assert (gap.value.author, gap.value.first, gap.value.last) == (BUYER.address, 1, 1)


def test_a_party_that_tells_two_parties_different_things_is_found_out() -> None:
    """The market shows the seller one price and the buyer another: the first word of either shows that something is
    wrong, and once the two entries meet, both are signed by the market."""
    for_seller, for_buyer = twin(), twin()
    high = write(for_seller, MARKET, b"matched at 30")
    low = signed(twin().draft(MARKET.address, b"\x55" * 16, b"matched at 20", 100), MARKET)
    assert for_buyer.accept(low) is not None
    reply = write(for_seller, SELLER, b"delivered")
    assert for_buyer.accept(reply) is not None, "the witness is heard: it may be the honest one"
    [(first, second)] = for_buyer.contradictions
    assert (first.encode(), second.encode()) == (low, reply)
    with pytest.raises(TwinForked) as direct:
        for_buyer.accept(high)
    assert direct.value.entries == (low, high), "both are signed by the market"
    assert len(for_buyer.log(MARKET.address)) == 1, "what was found is not taken in"


def test_an_entry_that_comes_late_and_is_not_the_one_that_was_seen_is_a_contradiction() -> None:
    writer, reader = twin(), twin()
    write(writer, MARKET, b"matched at 30")
    seen = write(writer, SELLER, b"delivered")
    other = signed(twin().draft(MARKET.address, b"\x55" * 16, b"matched at 20", 100), MARKET)
    assert reader.accept(seen) is not None
    assert reader.accept(other) is not None
    [(first, second)] = reader.contradictions
    assert (first.encode(), second.encode()) == (seen, other)


def test_two_that_saw_different_entries_which_nobody_holds_yet() -> None:
    left, right, reader = twin(), twin(), twin()
    write(left, MARKET, b"matched at 30")
    first = write(left, SELLER, b"delivered")
    write(right, MARKET, b"matched at 20", instance=b"\x55" * 16)
    second = write(right, BUYER, b"delivered")
    assert reader.accept(first) is not None
    assert reader.accept(second) is not None
    assert [(a.encode(), b.encode()) for a, b in reader.contradictions] == [(first, second)]


def test_a_made_up_claim_silences_nobody() -> None:
    """The buyer claims to have seen an entry that the seller never wrote: the seller goes on, at every holder."""
    view = twin()
    write(view, MARKET, b"matched")
    bare = view.draft(BUYER.address, b"\x44" * 16, b"lie", 100)
    claim = replace(bare, seen=tuple(sorted((*bare.seen, Seen(SELLER.address, 1, b"\x66" * 32)))))
    sealed = view._cipher(claim).encrypt((1).to_bytes(12, "big"), b"lie", claim.head())
    lie = signed(replace(claim, sealed=sealed), BUYER)
    assert view.accept(lie) is not None
    honest = write(view, SELLER, b"delivered")
    [(first, second)] = view.contradictions
    assert (first.encode(), second.encode()) == (lie, honest)
    assert view.accept(signed(view.draft(SELLER.address, b"\x44" * 16, b"again", 101), SELLER)) is not None


def test_a_second_entry_that_follows_another_first_one_is_a_fork() -> None:
    left, right, reader = twin(), twin(), twin()
    first = write(left, MARKET, b"matched at 30")
    write(right, MARKET, b"matched at 20", instance=b"\x55" * 16)
    second = write(right, MARKET, b"cancelled", instance=b"\x55" * 16)
    assert reader.accept(first) is not None
    with pytest.raises(TwinForked) as found:
        reader.accept(second)
    assert found.value.entries == (first, second)


def test_an_author_that_was_restored_from_an_old_backup_reuses_no_key() -> None:
    """Its new instance seals under another key; the entry that it says again differently is a fork for the others."""
    now, restored = twin(), twin()
    first = write(now, SELLER, b"delivered 900", instance=b"\x01" * 16)
    again = write(restored, SELLER, b"delivered 800", instance=b"\x02" * 16)
    one, other = TwinEntry.decode(first), TwinEntry.decode(again)
    pad = bytes(a ^ b for a, b in zip(one.sealed, other.sealed, strict=True))
    assert pad[:13] != bytes(a ^ b for a, b in zip(b"delivered 900", b"delivered 800", strict=True))
    with pytest.raises(TwinForked):
        now.accept(again)


def test_one_instance_seals_one_entry_under_a_number() -> None:
    view = twin()
    view.draft(SELLER.address, b"\x44" * 16, b"one", 100)
    view.draft(SELLER.address, b"\x44" * 16, b"one", 100)
    for content, at in ((b"two", 100), (b"one", 101)):
        with pytest.raises(UsageError):
            view.draft(SELLER.address, b"\x44" * 16, content, at)
    view.draft(SELLER.address, b"\x45" * 16, b"two", 100)


def test_nobody_but_the_parties_writes_and_each_only_for_itself() -> None:
    view, stranger = twin(), LocalSigner(b"\x09" * 32)
    entry = view.draft(SELLER.address, b"\x44" * 16, b"delivered", 100)
    with pytest.raises(SignatureRejected):
        view.accept(signed(entry, BUYER))
    with pytest.raises(RejectedError, match="no party"):
        view.accept(signed(replace(entry, author=stranger.address), stranger))
    with pytest.raises(RejectedError, match="another trade"):
        view.accept(signed(replace(entry, trade=b"\x12" * 32), SELLER))
    with pytest.raises(RejectedError, match="no party"):
        view.accept(signed(replace(entry, seen=(Seen(stranger.address, 1, b"\x01" * 32),)), SELLER))
    with pytest.raises(RejectedError, match="follows none"):
        view.accept(signed(replace(entry, previous=b"\x01" * 32), SELLER))
    with pytest.raises(UsageError):
        view.draft(stranger.address, b"\x44" * 16, b"", 100)
    assert view.timeline() == ()


def test_a_signature_counts_in_one_market_only() -> None:
    entry = twin().draft(SELLER.address, b"\x44" * 16, b"delivered", 100)
    elsewhere = Twin(TRADE, KEY, PARTIES, market_domain(31337, b"\x34" * 20))
    with pytest.raises(SignatureRejected):
        elsewhere.accept(signed(entry, SELLER))


def test_without_the_key_nothing_opens_and_nothing_is_shown() -> None:
    data = write(twin(), SELLER, b"delivered 900 Wh to the bakery")
    assert b"bakery" not in data
    with pytest.raises(RejectedError, match="does not open"):
        twin(b"\x23" * 32).accept(data)
    assert twin_log_id(KEY, SELLER.address) != twin_log_id(KEY, BUYER.address)
    assert TRADE not in twin_log_id(KEY, SELLER.address)


def test_an_entry_sees_no_less_than_its_authors_one_before() -> None:
    view = twin()
    write(view, MARKET, b"matched")
    write(view, SELLER, b"delivered")
    forgetful = replace(view.draft(SELLER.address, b"\x44" * 16, b"again", 100), seen=())
    resealed = replace(
        forgetful, sealed=view._cipher(forgetful).encrypt((2).to_bytes(12, "big"), b"", forgetful.head())
    )
    with pytest.raises(RejectedError, match="seen less"):
        view.accept(signed(resealed, SELLER))


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_no_bit_of_an_entry_can_be_changed(data: st.DataObject) -> None:
    entry = bytearray(write(twin(), SELLER, b"delivered 900"))
    at = data.draw(st.integers(0, len(entry) - 1), label="byte")
    entry[at] ^= data.draw(st.integers(1, 255), label="change")
    view = twin()
    with pytest.raises((FormatError, RejectedError, TwinGap)):
        view.accept(bytes(entry))
    assert view.timeline() == ()


def test_only_the_canonical_encoding_is_read() -> None:
    data = write(twin(), SELLER, b"delivered")
    with pytest.raises(UnknownVersion):
        TwinEntry.decode(b"\x00\x02" + data[2:])
    for cut in range(len(data)):
        with pytest.raises((FormatError, SignatureRejected)):
            twin().accept(data[:cut])
    entry = TwinEntry.decode(data)
    unsorted = (Seen(b"\x02" * 20, 1, bytes(32)), Seen(b"\x01" * 20, 1, bytes(32)))
    for wrong in (
        replace(entry, seen=unsorted),
        replace(entry, seen=(unsorted[0], unsorted[0])),
        replace(entry, seen=(Seen(SELLER.address, 1, bytes(32)),)),
        replace(entry, seen=(Seen(b"\x02" * 20, 0, bytes(32)),)),
        replace(entry, seq=0),
        replace(entry, at=2**40),
        replace(entry, sealed=bytes(MAX_CONTENT + 17)),
    ):
        with pytest.raises(FormatError):
            TwinEntry.decode(wrong.encode())
    assert TwinEntry.decode(data).encode() == data


def test_sizes_are_checked_where_a_twin_is_made() -> None:
    for trade, key, parties in ((TRADE[:31], KEY, PARTIES), (TRADE, KEY[:31], PARTIES), (TRADE, KEY, ())):
        with pytest.raises(UsageError):
            Twin(trade, key, parties, DOMAIN)
    with pytest.raises(UsageError):
        Twin(TRADE, KEY, [bytes([n]) * 20 for n in range(17)], DOMAIN)
    with pytest.raises(UsageError):
        twin().draft(SELLER.address, b"\x44" * 16, bytes(MAX_CONTENT + 1), 100)
    with pytest.raises(UsageError):
        twin_log_id(KEY[:31], SELLER.address)


def test_what_is_signed_names_the_trade_and_the_hash() -> None:
    entry = TwinEntry.decode(write(twin(), SELLER, b"delivered", 7))
    assert entry.statement() == Statement(SELLER.address, "ckt1 twin", entry.hash, TRADE, 7, 7)
