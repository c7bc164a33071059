"""What a twin's records amount to, and where copies differ (M-82, M-87)."""

from __future__ import annotations

from dataclasses import replace

from node.projection.base import Block
from node.projection.trade import Made, Trade, TradeStatus, TradeStep
from node.services.twin.compare import agree, compare
from node.services.twin.records import decode_record, encode_record, missing, records_of, summary

B = Block(7, b"\x07" * 32)
SELLER, BUYER = b"\x01" * 20, b"\x02" * 20
MADE = Made(B, True, SELLER, BUYER, b"\x0a" * 32, b"\x0b" * 32, 1_000, 200, 200, True)
S = TradeStatus
STEPS = (
    TradeStep(B, True, S.REPORTED, SELLER, 700),
    TradeStep(B, True, S.REPORTED, BUYER, 700),
    TradeStep(B, True, S.DELIVERED, wh=700, amount=140),
    TradeStep(B, True, S.DELIVERED, number=1),
    TradeStep(B, True, S.PAID, amount=140),
    TradeStep(B, True, S.CONFIRMED),
)
TRADE = Trade(b"\x0c" * 32, S.CONFIRMED, (MADE,), STEPS)


def test_the_records_of_a_contract_amount_to_what_the_database_says() -> None:
    found = summary(records_of(TRADE))
    assert found == {
        "seller": "0x" + SELLER.hex(),
        "buyer": "0x" + BUYER.hex(),
        "offer": "0x" + "0a" * 32,
        "request": "0x" + "0b" * 32,
        "wh": 1_000,
        "price": 200,
        "amount": 200,
        "escrowed": True,
        "status": "confirmed",
        "delivered_wh": 700,
        "due": 140,
        "reminders": 1,
        "paid": 140,
    }


def test_only_what_is_final_is_written() -> None:
    assert records_of(replace(TRADE, made=(replace(MADE, final=False),), steps=())) == ()
    young = replace(TRADE, steps=(*STEPS[:-1], replace(STEPS[-1], final=False)))
    assert len(records_of(young)) == len(records_of(TRADE)) - 1


def test_a_log_lacks_what_it_does_not_hold_in_these_very_bytes() -> None:
    wanted = records_of(TRADE)
    written = [encode_record(record) for record in wanted[:3]]
    assert missing(wanted, written) == wanted[3:]
    assert missing(wanted, [*written, b"something else"]) == wanted[3:]
    assert missing(wanted, map(encode_record, wanted)) == ()


def test_records_survive_their_bytes_and_strangers_are_passed_over() -> None:
    for record in records_of(TRADE):
        assert decode_record(encode_record(record)) == record
    for foreign in (b"", b"[]", b"{}", b'{"event":1}', b"\xff", b"[" * 20_000, b'{"event":"step","x":[[]]}'):
        assert decode_record(foreign) is None
    assert summary([{"event": "weather", "sun": True}]) == {}
    assert summary([{"event": "step", "status": "paid", "amount": 5}]) == {}, "no contract, no step"
    hostile = {"event": "step", "status": "paid", "amount": "much"}
    assert summary([*records_of(TRADE), hostile])["paid"] == 140


def test_nothing_delivered_is_resolved_at_once() -> None:
    over = replace(TRADE, steps=(*STEPS[:2], TradeStep(B, True, S.RESOLVED)))
    found = summary(records_of(over))
    assert (found["status"], found["delivered_wh"], found["due"], found["paid"]) == ("resolved", 0, 0, 0)


def test_a_difference_is_shown_field_by_field_with_every_copys_word() -> None:
    database = summary(records_of(TRADE))
    lines = compare({"database": database, "chain": {"wh": 1_000, "status": "paid"}, "log": {**database, "price": 250}})
    differing = {line.field: dict(line.values) for line in lines if not line.agrees}
    assert differing == {
        "price": {"database": 200, "log": 250},
        "status": {"database": "confirmed", "chain": "paid", "log": "confirmed"},
    }
    assert not agree(lines)
    assert agree(compare({"database": database, "chain": {"wh": 1_000}}))
    assert not agree(compare({"database": {}, "chain": {}})), "nothing known is nothing agreed"
