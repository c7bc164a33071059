"""The twin's keys as the specification says them, its limits, and what makes one order of everybody's entries."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from channels.codec import LAST_SEQ
from channels.errors import FormatError, TwinForked
from channels.twin import MAX_CONTENT, MAX_PARTIES, Seen, Twin, TwinEntry, twin_log_id
from tests.unit.channels.test_twin import (
    BUYER,
    DOMAIN,
    KEY,
    MARKET,
    SELLER,
    TRADE,
    signed,
    story,
    twin,
    write,
)

INSTANCE = b"\x44" * 16


def derived(label: bytes, context: bytes) -> bytes:
    """KDF(twin key, label, context) by another implementation."""
    return HKDFExpand(SHA256(), 32, b"ckt1 " + label + b"\x00" + context).derive(KEY)


def test_the_log_id_and_the_key_of_an_entry_are_derived_as_specified() -> None:
    assert twin_log_id(KEY, SELLER.address) == derived(b"twin log", SELLER.address)
    entry = TwinEntry.decode(write(twin(), SELLER, b"delivered", instance=INSTANCE))
    cipher = AESGCM(derived(b"twin", TRADE + SELLER.address + INSTANCE))
    assert cipher.decrypt((1).to_bytes(12, "big"), entry.sealed, entry.head()) == b"delivered"


def test_an_entry_is_read_up_to_its_limits() -> None:
    entry = TwinEntry.decode(write(twin(), SELLER, b"delivered"))
    others = tuple(Seen(bytes([n]) * 20, 1, bytes(32)) for n in range(MAX_PARTIES))
    for allowed, refused in (
        (replace(entry, seen=others[: MAX_PARTIES - 1]), replace(entry, seen=others)),
        (replace(entry, seq=LAST_SEQ), replace(entry, seq=LAST_SEQ + 1)),
        tuple(replace(entry, seen=(Seen(BUYER.address, seq, bytes(32)),)) for seq in (LAST_SEQ, LAST_SEQ + 1)),
        (replace(entry, at=2**40 - 1), replace(entry, at=2**40)),
        (replace(entry, sealed=bytes(16)), replace(entry, sealed=bytes(15))),
        (replace(entry, sealed=bytes(MAX_CONTENT + 16)), replace(entry, sealed=bytes(MAX_CONTENT + 17))),
    ):
        assert TwinEntry.decode(allowed.encode()) == allowed
        with pytest.raises(FormatError):
            TwinEntry.decode(refused.encode())


def test_a_twin_has_one_party_or_as_many_as_it_may() -> None:
    for count in (1, MAX_PARTIES):
        parties = [bytes([n]) * 20 for n in range(count)]
        assert Twin(TRADE, KEY, parties, DOMAIN).parties == set(parties)


def test_the_longest_content_is_carried() -> None:
    view, content = twin(), bytes(MAX_CONTENT)
    told = twin().accept(signed(view.draft(SELLER.address, INSTANCE, content, 100), SELLER))
    assert told is not None
    assert told.content == content


def test_a_fork_says_what_it_is() -> None:
    view = twin()
    write(view, SELLER, b"delivered 900")
    other = signed(twin().draft(SELLER.address, b"\x55" * 16, b"delivered 800", 100), SELLER)
    with pytest.raises(TwinForked, match="two entries 1 of one author"):
        view.accept(other)


def test_honest_parties_contradict_nobody_whatever_is_held() -> None:
    """Seen entries are compared with the one of that number, not with the newest."""
    view = twin()
    for data in story():
        view.accept(data)
    assert view.contradictions == ()
    writer, reader = twin(), twin()
    entries = [write(writer, MARKET, b"one"), write(writer, MARKET, b"two")]
    reply = write(writer, SELLER, b"seen both")
    entries.append(write(writer, MARKET, b"three"))
    for data in (*entries, reply):
        reader.accept(data)
    assert reader.contradictions == ()


def test_the_newest_entry_that_anybody_saw_is_missing_whoever_spoke_first() -> None:
    writer, reader = twin(), twin()
    write(writer, MARKET, b"one")
    early = write(writer, SELLER, b"saw one")
    write(writer, MARKET, b"two")
    late = write(writer, BUYER, b"saw two")
    for data in (late, early):
        reader.accept(data)
    assert (MARKET.address, 1, 2) in reader.missing()
    behind = twin()
    for data in (early, late):
        behind.accept(data)
    assert behind.missing() == reader.missing()


def test_what_was_seen_comes_first_even_where_clocks_say_otherwise() -> None:
    view = twin()
    write(view, MARKET, b"matched", 100)
    write(view, SELLER, b"delivered", 105)
    write(view, BUYER, b"received", 101)
    assert [told.content for told in view.timeline()] == [b"matched", b"delivered", b"received"]


def test_entries_that_did_not_know_of_each_other_stand_by_clock_and_then_by_address() -> None:
    start = write(twin(), MARKET, b"matched", 100)
    for seller_at, buyer_at in ((101, 102), (102, 101), (101, 101)):
        entries = [start]
        for signer, clock in ((SELLER, seller_at), (BUYER, buyer_at)):
            view = twin()
            view.accept(start)
            entries.append(write(view, signer, b"mine", clock))
        by_clock = sorted([(seller_at, SELLER.address), (buyer_at, BUYER.address)])
        for order in (entries, [start, entries[2], entries[1]]):
            reader = twin()
            for data in order:
                reader.accept(data)
            assert [told.entry.author for told in reader.timeline()] == [
                MARKET.address,
                *(address for _, address in by_clock),
            ]
