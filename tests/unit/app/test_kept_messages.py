"""Signed messages in journal, states and outbox: those that an earlier version kept as whole documents are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
from sqlalchemy import update

from keys import messages as m
from keys.parcel import Parcel
from keys.signers import LocalSigner
from node.app.core import Core
from node.app.spelling import canonical, wish_for
from node.app.submissions import said_by
from node.app.trading.orderreading import ReadOrder, read_order
from node.clock import ManualClock
from node.projection import events as e
from node.projection import settlement_events as s
from node.projection.base import Event, State
from node.projection.codec import CODEC
from node.projection.effects import SubmitMessage
from node.projection.order import Order, reduce_order
from node.projection.submission import Submission, reduce_submission
from node.runtime.errors import PermanentFailure
from node.storage.database import Database
from node.storage.journal import Journal
from node.storage.outbox import Outbox
from node.storage.schema import outbox, states
from node.storage.views import Views
from node.wire.settlement import OrderPlaced
from tests.unit.keys.builders import MESSAGES
from tests.unit.node.projection.alphabets import order_terms
from tests.unit.node.projection.kit import PROVIDER

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


async def _placed(spelled: Callable[[dict[str, Any]], dict[str, Any]]) -> ReadOrder:
    """An order of an asset without a node, as its program spells it."""
    signer = LocalSigner(b"\x07" * 32)
    _, *values = m.struct_values(BY_KIND[m.Offer])
    offer = m.Offer(signer.address, *values)
    typed, signature = spelled(m.typed_data(offer, DOMAIN)), await signer.sign_message(offer, DOMAIN)
    body = OrderPlaced(typed=typed, signature=signature).to_json()
    return read_order((DOMAIN,), Parcel(signer.address, "market.order", body, b"\x01" * 32, 1, 600))


def _plainly(typed: dict[str, Any]) -> dict[str, Any]:
    """Without the checksums of EIP-55, and with plain integers."""
    message = {k: int(v) if v.isdigit() else v.lower() for k, v in ((k, str(v)) for k, v in typed["message"].items())}
    return {**typed, "message": message}


async def test_an_order_said_again_in_another_spelling_is_the_same_order() -> None:
    """Also where an earlier version took it in, with the text that its asset chose."""
    first, again = [await _placed(each) for each in (dict, _plainly)]
    assert (first.order_id, first.body) == (again.order_id, again.body)
    event = s.ReceivedOrder(first.order_id, order_terms(), first.body, first.signature, None, 1)
    taken = reduce_order(Order(first.order_id), event).state
    before = _earlier(taken, State, 4, body=canonical(_plainly(m.typed_data(first.message, DOMAIN))))
    assert before == taken
    assert isinstance(before, Order)
    step = reduce_order(before, replace(event, body=again.body))
    assert (step.state, step.effects) == (before, ())


def test_orders_of_an_earlier_version_are_those_of_this_one() -> None:
    offer = BY_KIND[m.Offer]
    kept, whole = m.stored_form(offer, DOMAIN), _document(offer)
    taken = s.ReceivedOrder(bytes(32), order_terms(), kept, SIGNED[0], None, 1)
    placed = s.RequestedOrder(bytes(32), order_terms(), kept, SIGNED[0], "{}", PROVIDER, 1)
    for event in (taken, placed):
        assert _earlier(event, Event, 2, body=whole) == event
    assert m.from_stored(kept) == (offer, DOMAIN)


@pytest.mark.parametrize("text", ["{}", "", "m1", '{"typed":{},"opening":[]}'])
def test_what_no_version_can_read_stays_as_it_is(text: str) -> None:
    read = _earlier(_wish(), Event, 1, message=text)
    assert isinstance(read, e.RequestedSubmission)
    assert read.message == text


async def test_a_job_of_an_earlier_version_names_its_submission(tmp_path: Path) -> None:
    """A row of the outbox that has the whole message; the handler reads it from the state, which is as old."""
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    journal, wish = Journal(database, ManualClock(1_000)), _wish()
    await journal.apply([wish])
    state = json.loads(CODEC.encode(_read(wish)))
    effect: dict[str, Any] = {
        "digest": wish.digest.hex(),
        "kind": "Match",
        "message": _whole(),
        "deadline": wish.deadline,
    }
    effect["signatures"] = [each.hex() for each in SIGNED]
    rows = {
        outbox: {"effect": json.dumps({"type": "SubmitMessage", "v": 1, "data": effect})},
        states: {"document": json.dumps({**state, "v": 1, "data": {**state["data"], "message": _whole()}})},
    }
    async with database.write() as connection:
        for table, values in rows.items():
            assert (await connection.execute(update(table).values(values))).rowcount == 1
    [item] = await Outbox(database, "test").claim(1_000, 10, 60)
    assert item.effect == SubmitMessage(wish.digest, "Match")
    core = SimpleNamespace(storage=SimpleNamespace(views=Views(database)))
    submission, said = await said_by(cast(Core, core), wish.digest)
    assert (submission.signatures, said) == (SIGNED, (MATCH, DOMAIN, ORDERS))
    with pytest.raises(PermanentFailure):
        await said_by(cast(Core, core), bytes(32))
    await journal.close()
    await database.close()
