"""What the market says in a netted contract's twin of what the netting made of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.services.twin.netrecords import NetStory, left_in, net_records
from node.services.twin.records import Record, decode_record, encode_record

OPERATOR = b"\x03" * 20
STORY = NetStory(
    b"c" * 32, OPERATOR, b"\x01" * 20, b"\x02" * 20, b"o" * 32, b"r" * 32, 900, 1_000, 0, 900, 7, due=(900, 900)
)


def told(story: NetStory, author: bytes) -> list[tuple[int, int]]:
    records = [decode_record(encode_record(each)) for each in net_records(story, author)]
    return [found for each in records if each is not None and (found := left_in(each)) is not None]


def test_what_was_left_out_is_read_as_it_was_written() -> None:
    assert told(STORY, OPERATOR) == []
    assert told(replace(STORY, netted=False, left=(1_900, 500)), OPERATOR) == [(1_900, 500)]
    assert told(replace(STORY, netted=True), OPERATOR) == [(0, 0)]
    assert told(replace(STORY, netted=True), STORY.seller) == [], "the market alone says it"


@pytest.mark.parametrize(
    "record",
    [
        {"event": "netted", "period": 7, "paid": False},
        {"event": "netted", "period": 7, "paid": "no", "line": 1, "owed": 1},
        {"event": "netted", "period": 7, "paid": False, "line": True, "owed": "1"},
    ],
)
def test_what_does_not_say_how_much_was_left_out_says_nothing_of_the_kind(record: Record) -> None:
    assert left_in(record) == (0, 0)
