"""When a delivery is acknowledged, and what happens to it when somebody goes."""

from __future__ import annotations

import asyncio

import pytest

from channels.errors import TransportClosed
from channels.transports.base import Delivery, LinkState
from channels.transports.inbox import Inbox, Switchboard
from channels.transports.link import Backoff, Link
from channels.transports.topics import Kind, Topic

SID = b"\x01" * 32
DATA, COMMITS = Topic(Kind.DATA, SID), Topic(Kind.COMMITS, SID)


class Desk:
    """A switchboard and what it acknowledged."""

    def __init__(self) -> None:
        self.board = Switchboard()
        self.done: list[bytes] = []

    def arrive(self, payload: bytes, topic: Topic = DATA) -> None:
        delivery = Delivery(topic.kind, topic.sid, topic.key, payload, retained=False)
        self.board.arrived(topic.name, delivery, lambda: self.done.append(payload))

    def open(self, *topics: Topic) -> Inbox:
        async def unsubscribe(inbox: Inbox) -> None:
            self.board.drop(inbox.names)

        return self.board.open(topics or (DATA,), unsubscribe)


async def test_asking_for_the_next_acknowledges_the_last() -> None:
    desk = Desk()
    inbox = desk.open()
    desk.arrive(b"1")
    desk.arrive(b"2")
    assert (await anext(inbox)).payload == b"1"
    assert desk.done == []
    assert (await anext(inbox)).payload == b"2"
    assert desk.done == [b"1"]


async def test_two_takers_must_both_be_done() -> None:
    desk = Desk()
    one, two = desk.open(), desk.open(DATA, COMMITS)
    desk.arrive(b"1")
    desk.arrive(b"2")
    for _ in range(2):
        await anext(one)
    assert desk.done == []
    for _ in range(2):
        await anext(two)
    assert desk.done == [b"1"]
    await two.aclose()
    desk.arrive(b"3")
    await anext(one)
    assert desk.done == [b"1", b"2"], "who left does not hold up who stays"


async def test_what_nobody_takes_waits_and_is_given_up_after_a_while() -> None:
    desk = Desk()
    desk.arrive(b"early")
    desk.arrive(b"never wanted", COMMITS)
    assert desk.board.give_up(60) == []
    inbox = desk.open()
    assert (await anext(inbox)).payload == b"early"
    assert desk.board.give_up(0) == [COMMITS.name]
    assert desk.done == [b"never wanted"]


async def test_a_lost_connection_keeps_what_waits_and_does_not_double_it() -> None:
    desk = Desk()
    inbox = desk.open()
    for payload in (b"1", b"2"):
        desk.arrive(payload)
    await anext(inbox)
    desk.board.lost()
    for payload in (b"1", b"2", b"3"):
        desk.arrive(payload)
    assert [(await anext(inbox)).payload for _ in range(2)] == [b"2", b"3"]
    assert desk.done == [b"1", b"2"], "acknowledged on the new connection"


async def test_equal_news_are_not_taken_for_a_repetition() -> None:
    desk = Desk()
    inbox = desk.open()
    for _ in range(2):
        desk.arrive(b"same")
    assert [(await anext(inbox)).payload for _ in range(2)] == [b"same", b"same"]


async def test_the_end_of_the_transport_ends_every_inbox_without_acknowledging() -> None:
    desk = Desk()
    inbox, waiting = desk.open(), desk.open(COMMITS)
    for payload in (b"1", b"2"):
        desk.arrive(payload)
    await anext(inbox)
    blocked = asyncio.create_task(anext(waiting))
    await asyncio.sleep(0)
    desk.board.end(TransportClosed("over"))
    for work in (anext(inbox), blocked):
        with pytest.raises(TransportClosed):
            await work
    assert desk.done == []


async def test_states_are_told_once_and_callbacks_can_leave() -> None:
    link = Link()
    told: list[tuple[LinkState, str]] = []
    leave = link.on_state(lambda state, reason: told.append((state, reason)))
    waiting = asyncio.create_task(link.wait_connected())
    with pytest.raises(TransportClosed):
        await waiting
    link.set(LinkState.CONNECTING)
    waiting = asyncio.create_task(link.wait_connected())
    for _ in range(2):
        await asyncio.sleep(0)
        link.set(LinkState.REFUSED, "no")
    link.set(LinkState.CONNECTED)
    await waiting
    leave()
    leave()
    link.set(LinkState.STOPPED)
    assert told == [(LinkState.CONNECTING, ""), (LinkState.REFUSED, "no"), (LinkState.CONNECTED, "")]


def test_waits_grow_to_a_ceiling_with_jitter() -> None:
    backoff = Backoff(0.5, 8.0)
    waits = [backoff.next() for _ in range(200)]
    assert 0.25 <= waits[0] <= 0.5
    assert all(4.0 <= wait <= 8.0 for wait in waits[4:])
    assert len(set(waits)) > 100
    backoff.reset()
    assert backoff.next() <= 0.5
