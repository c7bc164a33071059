"""A gateway and a home that only call out pair over a broker that may be anybody's (permissions.md 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiomqtt
import pytest

from channels.errors import TransportRefused
from channels.transports.inprocess import Hub, InProcessTransport
from channels.transports.topics import Kind, Topic
from keys.identity import Identity
from keys.phrase import generate_mnemonic
from node.app.streams import roads
from node.runtime.broker.passwords import hash_for_mosquitto
from node.runtime.broker.patterns import mail_rights
from node.runtime.broker.settings import BrokerUser
from node.services.pairing.code import QrCode, parse_code
from node.services.pairing.gateway_machine import MAX_TRIES
from node.services.pairing.rendezvous import Rendezvous
from tests.support.meetings import Side, account, heard, meeting, network, real_broker, side

NAMES = ("gateway", "home", "rival")
IDENTITIES = {name: Identity.from_mnemonic(generate_mnemonic()) for name in NAMES}
SPY = BrokerUser(
    "spy", hash_for_mosquitto("spy"), ("wattpact/v1/#",), ("wattpact/v1/#",)
)  # the broker's operator, who hears everything
STRANGER = BrokerUser("stranger", hash_for_mosquitto("stranger"), *mail_rights(bytes(32)))
USERS = (*(account(name, identity) for name, identity in IDENTITIES.items()), SPY, STRANGER)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for an answer that cannot come; questions are said again soon."""
    monkeypatch.setattr(roads, "ANSWER_S", 2.0)
    monkeypatch.setattr(roads, "AGAIN_S", 0.3)


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
async def test_both_call_out_and_nobody_hears_more_than_that_they_meet(kind: str, tmp_path: Path) -> None:
    """Outbound-only: a rendezvous topic that follows from the secret. One home gets it, a second one with a photograph
    of the code is refused, and everything said before, played again and retained, changes nothing."""
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(real_broker(kind, tmp_path, USERS))
        nodes = await stack.enter_async_context(network(port, IDENTITIES))
        gateway, home, rival = (nodes[name] for name in NAMES)
        code = await gateway.gateway.new_code()
        parsed = parse_code(code.qr)
        assert isinstance(parsed, QrCode)
        point = Rendezvous.of(parsed.secret)
        names = [Topic(Kind.MEET, each).name for each in (point.to_gateway, point.to_home)]
        spy, said = await stack.enter_async_context(heard(port, "spy", *names))
        await gateway.run(meeting(gateway))
        assert code.url == ""
        assert await home.pair(code.qr) == "pairing"
        assert (await gateway.gateway.view()).state == "pairing"
        assert {type(event).__name__ for event in home.memory.events} == {"ReceivedPairing", "RequestedSubmission"}
        assert "ReceivedPairing" in {type(event).__name__ for event in gateway.memory.events}
        assert "used by a home" in (refused := await rival.pair(code.qr)) or "has an owner" in refused
        letters = [(str(message.topic), bytes(message.payload)) for message in said]
        assert len(letters) >= 7
        wire = b"".join(payload for _, payload in letters)
        for secret in (parsed.password()[3:], home.core.signer.address, gateway.core.signer.address, b"gateway"):
            assert secret not in wire
        await _replayed(gateway, spy, letters)


async def _replayed(gateway: Side, spy: aiomqtt.Client, letters: list[tuple[str, bytes]]) -> None:
    before = dict(gateway.memory.rows)
    code = await gateway.gateway.new_code() if (await gateway.gateway.view()).state != "pairing" else None
    assert code is None, "a claimed gateway makes no code"
    for topic, payload in letters:
        for retain in (False, True):
            await spy.publish(topic, payload, 1, retain)
    await asyncio.sleep(0.5)
    after = dict(gateway.memory.rows)
    assert (await gateway.gateway._load()) == await _loaded(gateway, before)
    assert after.keys() == before.keys()


async def _loaded(gateway: Side, rows: dict[tuple[str, str], object]) -> object:
    now, gateway.memory.rows = gateway.memory.rows, rows
    try:
        return await gateway.gateway._load()
    finally:
        gateway.memory.rows = now


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
@pytest.mark.usefixtures("quick")
async def test_the_broker_lets_nodes_meet_and_lets_them_do_nothing_else(kind: str, tmp_path: Path) -> None:
    """Rights of the product: exactly meetings, anybody's mailbox for writing, the own one for reading."""
    identities = {"gateway": IDENTITIES["gateway"], "stranger": IDENTITIES["rival"]}
    async with real_broker(kind, tmp_path, USERS) as port, network(port, identities) as nodes:
        gateway, stranger = nodes["gateway"], nodes["stranger"]
        await gateway.run(meeting(gateway))
        assert "wattpact/v1/+/meet" in await stranger.pair((await gateway.gateway.new_code()).qr)
        forbidden = (
            Topic(Kind.COMMITS, b"\x01" * 32),
            Topic(Kind.MAIL, IDENTITIES["home"].sealing_key("inbox").key_hash()),
        )
        async with heard(port, "rival", "wattpact/v1/+/meet", *(topic.name for topic in forbidden)) as (_, got):
            async with heard(port, "spy") as (spy, _):
                for topic in forbidden:
                    await spy.publish(topic.name, b"not for you", 1)
                await gateway.core.transport.publish(Topic(Kind.COMMITS, b"\x02" * 32), b"forged")
                await spy.publish(Topic(Kind.MEET, b"\x03" * 32).name, b"a meeting of others", 1)
                await asyncio.sleep(0.5)
            heard_of = {bytes(message.payload) for message in got}
            assert heard_of <= ({b"a meeting of others"} if kind == "mosquitto" else set())
        if kind == "embedded":
            with pytest.raises(TransportRefused):
                await stranger.core.transport.subscribe(Topic(Kind.MEET, b"\x04" * 32))


@dataclass
class Between:
    """A broker that is the enemy: what home and gateway say goes through `carry`, which may do anything to it."""

    gateway: Side
    home: Side
    rival: Side
    carried: list[bytes]


Carry = Callable[[Topic, bytes, list[bytes]], list[bytes]]


@pytest.fixture
async def hub() -> Hub:
    return Hub()


async def through(hub: Hub, carry: Carry, act: Callable[[Between, str], object]) -> None:
    """Gateway on one hub, homes on another, the enemy in between: it knows the topics, as a broker does."""
    other = Hub()
    transports = {name: InProcessTransport(hub if name == "gateway" else other, name) for name in NAMES}
    enemies = (InProcessTransport(hub, "enemy"), InProcessTransport(other, "enemy"))
    for transport in (*transports.values(), *enemies):
        await transport.start()
    sides = {name: side(name, transports[name], identity=IDENTITIES[name]) for name in NAMES}
    between = Between(sides["gateway"], sides["home"], sides["rival"], [])
    await between.gateway.run(meeting(between.gateway))
    code = (await between.gateway.gateway.new_code()).qr
    point = Rendezvous.of(parse_code(code).password()[3:])
    ways = ((enemies[1], enemies[0], point.to_gateway), (enemies[0], enemies[1], point.to_home))

    async def bridge(source: InProcessTransport, target: InProcessTransport, topic: Topic) -> None:
        async with await source.subscribe(topic) as letters:
            async for delivery in letters:
                for letter in carry(topic, delivery.payload, between.carried):
                    await target.publish(topic, letter)
                between.carried.append(delivery.payload)

    bridges = [asyncio.create_task(bridge(s, t, Topic(Kind.MEET, name))) for s, t, name in ways]
    try:
        await act(between, code)  # type: ignore[misc]
    finally:
        for task in bridges:
            task.cancel()
        await asyncio.gather(*bridges, return_exceptions=True)
        await between.gateway.rest()
        for transport in (*transports.values(), *enemies):
            await transport.stop()


def honest(_topic: Topic, letter: bytes, _before: list[bytes]) -> list[bytes]:
    return [letter]


def flipped(_topic: Topic, letter: bytes, _before: list[bytes]) -> list[bytes]:
    return [letter[:-20] + bytes([letter[-20] ^ 1]) + letter[-19:]]


def replaced(_topic: Topic, letter: bytes, before: list[bytes]) -> list[bytes]:
    """Every letter but the first is swapped for one said before: another step's, or the other direction's."""
    return [before[0]] if before else [letter]


def noisy(_topic: Topic, letter: bytes, before: list[bytes]) -> list[bytes]:
    """All that was ever said, again, before and after each letter, and letters of its own."""
    return [b"\x00" * 300, *before, letter, *reversed(before), letter[:40], letter]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("carry", "pairs"), [(honest, True), (noisy, True), (flipped, False), (replaced, False)])
async def test_a_broker_that_swaps_changes_and_repeats(hub: Hub, carry: Carry, pairs: bool) -> None:
    """Attack: it can keep both from pairing, as it could by silence. It can use up no try, and pair with nobody."""

    async def act(between: Between, code: str) -> None:
        state = await between.home.pair(code)
        if pairs:
            assert state == "pairing"
            return
        assert state.startswith("not_reachable") or "meeting point" in state, state
        held = await between.gateway.gateway._load()
        assert between.gateway.gateway._machine.tries_left(held) == MAX_TRIES
        assert between.home.memory.events == []

    await through(hub, carry, act)


@pytest.mark.usefixtures("quick")
async def test_of_two_homes_that_race_one_is_paired_and_the_other_is_told(hub: Hub) -> None:
    """Attack: a second home saw the QR code. Their letters cross on the same topics."""

    async def act(between: Between, code: str) -> None:
        states = await asyncio.gather(between.home.pair(code), between.rival.pair(code))
        assert sorted(state == "pairing" for state in states) == [False, True], states
        lost = next(state for state in states if state != "pairing")
        assert "code was used" in lost or "has an owner" in lost or "another home" in lost, lost
        claim = (await between.gateway.gateway._load()).claim
        winner = between.home if states[0] == "pairing" else between.rival
        assert claim is not None
        assert claim.pairing.owner.account == winner.core.signer.address

    await through(hub, honest, act)


@pytest.mark.usefixtures("quick")
async def test_a_gateway_that_restarts_in_the_middle_goes_on(hub: Hub) -> None:
    """State survives restarts: the gateway is ended once it has met the home, which says its last question again."""
    met, restarted, lost = asyncio.Event(), asyncio.Event(), []

    def carry(topic: Topic, letter: bytes, before: list[bytes]) -> list[bytes]:
        if len(before) == 3:  # two questions and the first answer are through: this is the gateway's second
            met.set()
            return [letter]
        if met.is_set() and not restarted.is_set():
            lost.append(letter)
            return []
        return [letter]

    async def act(between: Between, code: str) -> None:
        async def restart() -> None:
            await met.wait()
            old = between.gateway
            assert (await old.gateway._load()).meeting is not None
            await old.rest()
            fresh = side("gateway", old.core.transport, old.memory, IDENTITIES["gateway"])
            await fresh.run(meeting(fresh))
            old.running = fresh.running
            restarted.set()

        state, _ = await asyncio.gather(between.home.pair(code), restart())
        assert state == "pairing"

    await through(hub, carry, act)


@pytest.mark.usefixtures("quick")
async def test_a_used_up_or_newer_code_leads_nowhere(hub: Hub) -> None:
    async def act(between: Between, code: str) -> None:
        await between.gateway.gateway.new_code()
        assert "meeting point" in await between.home.pair(code)

    await through(hub, honest, act)


@pytest.mark.usefixtures("quick")
async def test_a_typed_code_never_goes_over_a_broker(hub: Hub) -> None:
    """Attack: 34.7 bits, and a topic that follows from them, would be found by the broker by trying."""

    async def act(between: Between, code: str) -> None:
        typed = (await between.gateway.gateway.new_code()).code
        assert "--url" in await between.home.pair(typed)
        assert between.carried == []

    await through(hub, honest, act)


def test_a_gateway_with_an_address_is_at_no_meeting_point() -> None:
    made = side("gateway", InProcessTransport(Hub(), "gateway"), identity=IDENTITIES["gateway"])
    settings = made.core.settings
    made.core.settings = settings.model_copy(update={"node": settings.node.model_copy(update={"outbound_only": False})})
    asyncio.run(made.gateway.new_code())
    assert asyncio.run(made.gateway.rendezvous()) is None
    assert made.core.public_url == f"http://{settings.api.listen}"
