"""Signed messages in journal, states and outbox: those that an earlier version kept as whole documents are the same."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import pytest

from keys import messages as m
from node.app.spelling import canonical, wish_for
from node.projection import events as e
from node.projection.base import Event, State
from node.projection.codec import CODEC
from node.projection.submission import Submission, reduce_submission
from tests.unit.keys.builders import MESSAGES

DOMAIN = m.market_domain(31337, bytes(range(20)))
BY_KIND = {type(message): message for message in MESSAGES}
MATCH, ORDERS = BY_KIND[m.Match], (BY_KIND[m.Offer], BY_KIND[m.Request])
SIGNED = (b"\x01" * 65, b"\x02" * 65, b"\x03" * 65)
T = TypeVar("T")


def _document(message: m.Message) -> str:
    return canonical(m.typed_data(message, DOMAIN))


def _whole() -> str:
    """A match as it was kept: the orders as hex of their documents, of the asset that spelled them."""
    beside = [_document(order).encode().hex() for order in ORDERS]
    return canonical({"typed": m.typed_data(MATCH, DOMAIN), "opening": beside})


def _earlier(value: Event | State, base: type[T], version: int, **data: Any) -> T:
    """What is read of a value that an earlier version wrote with these fields."""
    document = json.loads(CODEC.encode(value))
    assert document["v"] > version
    return CODEC.decode(json.dumps({**document, "v": version, "data": {**document["data"], **data}}), base)


def _wish() -> e.RequestedSubmission:
    return wish_for(MATCH, SIGNED, ORDERS, DOMAIN, 1)


def _read(wish: e.RequestedSubmission) -> Submission:
    """Its state, as an earlier version wrote it."""
    state = reduce_submission(Submission(wish.digest), wish).state
    found = _earlier(state, State, 1, message=_whole())
    assert isinstance(found, Submission)
    return found


def test_a_wish_of_an_earlier_version_is_the_wish_of_this_one() -> None:
    assert _earlier(_wish(), Event, 1, message=_whole()) == _wish()
    assert m.call_from_stored(_wish().message) == (MATCH, DOMAIN, ORDERS)


def test_documents_beside_a_message_are_kept_as_the_messages() -> None:
    opening = [_document(order).encode() for order in ORDERS]
    assert wish_for(MATCH, SIGNED, opening, DOMAIN, 1) == _wish()


def test_the_same_message_said_again_is_no_second_message() -> None:
    before = _read(_wish())
    assert before.message == _wish().message
    step = reduce_submission(before, _wish())
    assert (step.state, step.effects) == (before, ())


@pytest.mark.parametrize("text", ["{}", "", "m1", '{"typed":{},"opening":[]}'])
def test_what_no_version_can_read_stays_as_it_is(text: str) -> None:
    read = _earlier(_wish(), Event, 1, message=text)
    assert isinstance(read, e.RequestedSubmission)
    assert read.message == text
