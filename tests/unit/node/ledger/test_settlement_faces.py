"""Token and market as the ledger knows them: each log becomes its event, each message its call."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from contracts.bindings import energy_token, market
from keys import messages as m
from node.ledger import energy as energy_face
from node.ledger import market as market_face
from node.ledger.errors import MessageMalformed
from node.ledger.faces import Decoders, Faces
from node.ledger.wire import RawLog
from node.projection import settlement_events as s
from node.projection.base import Block

ENERGY, MARKET = b"\x0e" * 20, b"\x0a" * 20
HASH = b"\xbb" * 32


def word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\x00")


def log(address: bytes, topic: bytes, indexed: tuple[int | bytes, ...], data: tuple[int | bytes, ...]) -> RawLog:
    topics = (topic, *(word(each) for each in indexed))
    return RawLog(address, topics, b"".join(word(each) for each in data), 5, HASH, b"\xcc" * 32, 0)


def test_each_event_of_the_market_has_its_counterpart_field_by_field() -> None:
    for theirs, ours in market_face._EVENTS.items():
        names = [field.name for field in fields(ours)][1:]
        found = [field.name for field in fields(theirs)]
        # What the contract's waits count from stands at the end: the time of the block.
        times = [] if ours is s.LoggedOrderCancelled else ["time"]
        assert [name.replace("order_id", "order") for name in names] == [*found, *times], theirs.__name__


def test_logs_of_the_market_become_events() -> None:
    decoder = market_face.MarketDecoder()
    one, two, three, four, five = b"\x01" * 32, b"\x02" * 20, b"\x03" * 20, b"\x04" * 32, b"\x05" * 32
    found = decoder.decode(log(MARKET, market.Matched.TOPIC, (one, two, three), (four, five, 12, 200, 2, 1)))
    assert found == s.LoggedMatched(Block(5, HASH), one, two, three, four, five, 12, 200, 2, True)
    paid = decoder.decode(log(MARKET, market.Paid.TOPIC, (b"\x01" * 32,), (7,)))
    assert paid == s.LoggedPaid(Block(5, HASH), b"\x01" * 32, 7)
    assert decoder.decode(log(MARKET, market.Deposited.TOPIC, (b"\x01" * 20, b"\x02" * 20), (7,))) is None
    assert decoder.decode(log(MARKET, market.Paid.TOPIC, (b"\x01" * 32,), ())) is None


def test_logs_of_the_token_become_events() -> None:
    decoder = energy_face.EnergyDecoder()
    found = decoder.decode(log(ENERGY, energy_token.Produced.TOPIC, (9,), (3, 1_000, 77)))
    assert found == s.LoggedProduced(Block(5, HASH), energy_face.source_key(9), 3, 1_000, 77)


def test_a_log_goes_to_the_decoder_of_its_contract() -> None:
    both = Decoders([(ENERGY, energy_face.EnergyDecoder()), (MARKET, market_face.MarketDecoder())])
    produced = log(ENERGY, energy_token.Produced.TOPIC, (9,), (3, 1_000, 77))
    assert isinstance(both.decode(produced), s.LoggedProduced)
    foreign = log(MARKET, energy_token.Produced.TOPIC, (9,), (3, 1_000, 77))
    assert both.decode(foreign) is None
    assert market.Paid.TOPIC in both.topics


def test_faces_take_their_own_messages_only() -> None:
    faces = Faces([energy_face.energy_face(1, ENERGY), market_face.market_face(1, MARKET)])
    reading = m.Reading(9, 1, 1_000, 77)
    face = faces.of(m.energy_domain(1, ENERGY), reading)
    assert face is not None
    call = face.call(face.address, reading, (b"\x01" * 65,), ())
    assert call.to == ENERGY
    assert call.data == energy_token.encode_mint_reading(reading, b"\x01" * 65)
    assert faces.of(m.energy_domain(2, ENERGY), reading) is None
    with pytest.raises(MessageMalformed, match="takes no Reading"):
        faces.of(m.market_domain(1, MARKET), reading)
    with pytest.raises(MessageMalformed, match="signature"):
        face.call(face.address, reading, (), ())
    with pytest.raises(MessageMalformed, match="besides"):
        face.call(face.address, reading, (b"\x01" * 65,), (b"x",))


def test_reports_are_first_or_answer() -> None:
    face = market_face.market_face(1, MARKET)
    message = m.Provision(b"\x01" * 20, b"\x02" * 20, HASH, 10, 99)
    first = face.call(MARKET, message, (b"\x01" * 65,), (b"\x00",))
    answer = face.call(MARKET, message, (b"\x01" * 65,), (b"\x01",))
    assert first.data == market.encode_report(message, b"\x01" * 65)
    assert answer.data == market.encode_answer(message, b"\x01" * 65)


def test_orders_beside_a_match_are_read_or_refused() -> None:
    face, domain = market_face.market_face(1, MARKET), m.market_domain(1, MARKET)
    fields_: tuple[Any, ...] = (b"\x01" * 20, b"\x02" * 20, HASH, bytes(20), bytes(20), 10, 5, 100, 200, 1, 90)
    offer, request = m.Offer(*fields_), m.Request(*fields_)
    match = m.Match(b"\x02" * 20, HASH, HASH, 10, 5, 100, 200, 1, 90)
    signatures = (b"\x01" * 65, b"\x02" * 65, b"\x03" * 65)
    call = face.call(
        MARKET, match, signatures, (market_face.opened(offer, domain), market_face.opened(request, domain))
    )
    assert call.data == market.encode_make_contract(match, offer, request, *signatures)
    for wrong in (b"{", b"[]", market_face.opened(request, domain)):
        with pytest.raises(MessageMalformed):
            face.call(MARKET, match, signatures, (wrong, market_face.opened(request, domain)))


def test_a_refusal_of_either_contract_is_told_in_words() -> None:
    faces = Faces([energy_face.energy_face(1, ENERGY), market_face.market_face(1, MARKET)])
    selector = next(iter(market.ERRORS))
    found = faces.reason(selector + bytes(32 * 8))
    assert found is not None
    assert found.name
    assert faces.reason(b"\x00\x00\x00\x01") is None
