"""Parcels between nodes that only call out: over the broker, answered by nobody but the recipient, taken in once
(permissions.md 2: after the pairing both sides go on over the broker)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from aiohttp import web

from channels.errors import TransportRefused
from channels.transports.http import HttpSettings, HttpTransport
from channels.transports.inbox import Inbox
from channels.transports.inprocess import Hub, InProcessTransport
from channels.transports.topics import Kind, Topic
from keys.identity import Identity
from keys.parcel import Parcel
from keys.phrase import generate_mnemonic
from node.api.relay import Relay
from node.app import cards, mail
from node.app.inbox import Kept
from node.app.streams import meeting as meeting_point
from node.app.streams import roads
from node.clock import SystemClock
from node.errors import NodeUnreachable, Refused
from node.projection.effects import SendParcel
from node.runtime.broker.passwords import hash_for_mosquitto
from node.runtime.broker.settings import BrokerUser
from node.runtime.errors import PermanentFailure
from node.runtime.relay.log import RelayLog
from node.services.pairing.code import QrCode, parse_code
from node.services.pairing.rendezvous import Rendezvous
from tests.support.meetings import Side, account, heard, meeting, mqtt, network, real_broker, side
from tests.support.processes import free_port, until

NAMES = ("gateway", "home", "neighbour")
IDENTITIES = {name: Identity.from_mnemonic(generate_mnemonic()) for name in NAMES}
OPERATOR = BrokerUser("operator", hash_for_mosquitto("operator"), ("wattpact/v1/#",), ("wattpact/v1/#",))
USERS = (*(account(name, identity) for name, identity in IDENTITIES.items()), OPERATOR)
NOTE = {"words": "meter 4711 is yours"}


def effect(to: Side) -> SendParcel:
    """What the outbox carries out again and again until it is done."""
    return SendParcel(to.peer, "note", json.dumps(NOTE), bytes(32), 2**40)


async def all_heard(said: list[aiomqtt.Message], number: int) -> None:
    """A broker hands the last letter to its recipient and to who listens in whichever order it likes."""

    async def enough() -> bool:
        return len(said) >= number

    await until(f"{number} letters are heard", enough)
    assert len(said) == number


def words(node: Side) -> list[str]:
    return [parcel.body["words"] for parcel in node.taken]


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
async def test_both_ways_over_the_broker_sealed_and_taken_in_once(kind: str, tmp_path: Path) -> None:
    """Attack: the operator plays every letter again, also retained, and makes up answers."""
    async with (
        real_broker(kind, tmp_path, USERS) as port,
        network(port, IDENTITIES) as nodes,
        heard(port, "operator", "wattpact/v1/#") as (operator, said),
    ):
        gateway, home = nodes["gateway"], nodes["home"]
        for node in (gateway, home):
            await node.listens()
        assert gateway.peer.url == ""
        await gateway.post.send(home.peer, "note", NOTE)
        await home.post.send(gateway.peer, "note", {"words": "thank you"})
        assert (words(home), words(gateway)) == ([NOTE["words"]], ["thank you"])
        assert home.taken[0].sender == gateway.core.signer.address
        await all_heard(said, 4)
        letters = [(str(message.topic), bytes(message.payload)) for message in said]
        assert not any(b"4711" in payload or gateway.core.signer.address in payload for _, payload in letters)
        for topic, payload in letters:
            for retain in (False, True):
                await operator.publish(topic, payload, 1, retain)
            await operator.publish(topic, b"", 1, False)
            await operator.publish(topic, payload[:500] + b"\x00" * 700, 1)
        await gateway.post.send(home.peer, "note", {"words": "after the noise"})
        assert (words(home), words(gateway)) == ([NOTE["words"], "after the noise"], ["thank you"])


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
async def test_a_letter_waits_at_the_broker_for_who_is_away(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outbox tries again and again meanwhile: the letter is out once, and is taken in once."""
    monkeypatch.setattr(mail, "WAIT_S", 0.5)
    async with (
        real_broker(kind, tmp_path, USERS) as port,
        network(port, {name: IDENTITIES[name] for name in ("gateway", "home")}) as nodes,
        heard(port, "operator", "wattpact/v1/#") as (_, said),
    ):
        gateway, home = nodes["gateway"], nodes["home"]
        await gateway.listens()
        await home.listens()  # once, so that the broker knows it
        await home.rest()
        await home.core.transport.stop()
        for _ in range(3):
            with pytest.raises(NodeUnreachable, match="No answer"):
                await gateway.post.carry_out(effect(home))
        assert len(said) == 1
        monkeypatch.setattr(mail, "WAIT_S", 30.0)
        transport = mqtt(port, "home")
        await transport.start()
        back = side("home", transport, home.memory, IDENTITIES["home"])
        await back.listens()
        await gateway.post.carry_out(effect(home))
        assert words(back) == [NOTE["words"]]
        await all_heard(said, 2)
        await back.rest()
        await transport.stop()


async def pair_of(hub: Hub) -> tuple[Side, Side]:
    nodes = []
    for name in ("gateway", "home"):
        transport = InProcessTransport(hub, name)
        await transport.start()
        nodes.append(side(name, transport, identity=IDENTITIES[name]))
    return nodes[0], nodes[1]


class Strict(InProcessTransport):
    """Says no to a publisher, as channels over HTTP do, and to a reader whose right was taken away."""

    def __init__(self, hub: Hub, name: str) -> None:
        super().__init__(hub, name)
        self.forbidden: set[Topic] = set()
        self.refused = 0
        self.opened: list[Inbox] = []

    async def publish(self, topic: Topic, payload: bytes) -> None:
        if topic in self.forbidden:
            self.refused += 1
            raise TransportRefused("the relay refuses: not permitted")
        await super().publish(topic, payload)

    async def subscribe(self, *topics: Topic) -> Inbox:
        self.opened.append(await super().subscribe(*topics))
        return self.opened[-1]


async def strict(hub: Hub, name: str) -> tuple[Side, Strict]:
    transport = Strict(hub, name)
    await transport.start()
    return side(name, transport, identity=IDENTITIES[name]), transport


async def closed(*nodes: Side) -> None:
    for node in nodes:
        await node.rest()
        await node.core.transport.stop()


async def test_a_refusal_comes_back_as_one_and_a_broken_taker_is_tried_again() -> None:
    gateway, home = await pair_of(Hub())
    for node in (gateway, home):
        await node.listens()
    with pytest.raises(PermanentFailure, match=r"takes no stream\.grant"):
        await gateway.post.send(home.peer, "stream.grant", NOTE)

    async def refusing(_: Parcel) -> Kept:
        raise Refused("Only the paired gateway may say this.")

    async def broken(_: Parcel) -> Kept:
        raise KeyError("a fault of ours")

    inbox = home.inbox
    inbox.on("note", refusing)
    with pytest.raises(PermanentFailure, match="Only the paired gateway"):
        await gateway.post.send(home.peer, "note", NOTE)
    inbox.on("note", broken)
    with pytest.raises(NodeUnreachable, match="answers 500"):
        await gateway.post.send(home.peer, "note", NOTE)
    await gateway.post.send(home.peer, "other", NOTE)  # the mailbox goes on
    await closed(gateway, home)


async def test_a_letter_that_the_broker_lost_is_sent_again_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker without memory: nobody was subscribed when the letter came."""
    monkeypatch.setattr(mail, "WAIT_S", 0.2)
    monkeypatch.setattr(mail, "AGAIN_S", 0.0)
    gateway, home = await pair_of(Hub())
    await gateway.listens()
    with pytest.raises(NodeUnreachable):
        await gateway.post.carry_out(effect(home))
    await home.listens()
    monkeypatch.setattr(mail, "WAIT_S", 30.0)
    await gateway.post.carry_out(effect(home))
    assert words(home) == [NOTE["words"]]
    await closed(gateway, home)


async def timed_out(sending: Coroutine[Any, Any, None], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as now:
        now.setattr(mail, "WAIT_S", 0.3)
        with pytest.raises(NodeUnreachable, match="No answer"):
            await sending


async def test_what_is_said_anew_is_sent_anew_whatever_became_of_it_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause, run, pause: a late yes to the first pause, or a letter of it that waits, must not stand for the second."""
    gateway, home = await pair_of(Hub())
    await gateway.listens()
    await timed_out(gateway.post.send(home.peer, "note", NOTE), monkeypatch)  # lost: nobody reads there yet
    await home.listens()
    await gateway.post.send(home.peer, "note", NOTE)
    assert words(home) == [NOTE["words"]]
    open_ = asyncio.Event()

    async def slow(parcel: Parcel) -> Kept:
        await open_.wait()
        return Kept((parcel,))  # type: ignore[arg-type]

    home.inbox.on("note", slow)
    await timed_out(gateway.post.send(home.peer, "note", NOTE), monkeypatch)
    open_.set()
    await gateway.post.send(home.peer, "note", {"words": "run"})
    await gateway.post.send(home.peer, "note", NOTE)
    assert words(home) == [NOTE["words"], NOTE["words"], "run", NOTE["words"]]
    assert not gateway.mailbox.waiting
    await closed(gateway, home)


@pytest.mark.parametrize("late", ["yes", "expired", "fault"])
async def test_a_late_yes_to_an_effect_holds_and_a_late_no_is_asked_again(
    late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, home = await pair_of(Hub())
    await gateway.listens()
    await home.listens()
    open_, calls = asyncio.Event(), list[Parcel]()

    async def slow(parcel: Parcel) -> Kept:
        calls.append(parcel)
        if len(calls) == 1:
            await open_.wait()
            if late == "expired":
                raise Refused("The parcel was not accepted: expired 7 seconds ago.")
            if late == "fault":
                raise KeyError("a fault of ours")
        return Kept((parcel,))  # type: ignore[arg-type]

    home.inbox.on("note", slow)
    wanted = effect(home)
    await timed_out(gateway.post.carry_out(wanted), monkeypatch)
    open_.set()
    await gateway.post.send(home.peer, "other", NOTE)  # the late answer came before this one's
    await gateway.post.carry_out(wanted)
    assert words(home).count(NOTE["words"]) == 2
    assert len(calls) == (1 if late == "yes" else 2)
    assert not gateway.mailbox.waiting
    await closed(gateway, home)


async def test_who_may_not_read_its_mailbox_is_told_which_right_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "WAIT_S", 0.5)
    hub = Hub(lambda client, verb, topic: (client, verb) != ("gateway", "subscribe"))
    gateway, home = await pair_of(hub)
    await gateway.run(gateway.mailbox.service())
    with pytest.raises(NodeUnreachable, match="the broker says"):
        await gateway.post.send(home.peer, "note", NOTE)
    assert gateway.mailbox.reads is False
    await closed(gateway, home)


@pytest.mark.broker
async def test_nobody_reads_the_mailbox_of_another(tmp_path: Path) -> None:
    async with real_broker("embedded", tmp_path, USERS) as port, network(port, IDENTITIES) as nodes:
        with pytest.raises(TransportRefused):
            await nodes["neighbour"].core.transport.subscribe(nodes["home"].mailbox.topic)


@pytest.mark.broker
async def test_nobody_lists_the_cards_of_all_households(tmp_path: Path) -> None:
    """Attack: a user with the rights of every node, and one that may read everything, ask with wildcards; before the
    cards are shown and after."""
    wide = ("wattpact/v1/+/card", "wattpact/v1/+/+", "wattpact/v1/#", "#")
    async with (
        real_broker("embedded", tmp_path, USERS) as port,
        network(port, {name: IDENTITIES[name] for name in ("gateway", "home")}) as nodes,
        heard(port, "operator", *wide) as (_, early),
    ):
        home = nodes["home"]
        await home.run(cards.CardShown(home.core).service())
        assert (await cards.fetch_card(nodes["gateway"].core, home.mailbox.topic.name)).inbox_url == ""
        async with heard(port, "neighbour", *wide) as (neighbour, late):

            async def heard_last() -> bool:
                return bool(late) and bytes(late[-1].payload) == b"the last"

            await nodes["gateway"].listens()
            await nodes["gateway"].post.send(nodes["gateway"].peer, "note", NOTE)
            own = Topic(Kind.MAIL, IDENTITIES["neighbour"].sealing_key("inbox").key_hash()).name
            await neighbour.subscribe(own, 1)
            await neighbour.publish(own, b"the last", 1)
            await until("the last message is heard", heard_last)
        assert [bytes(message.payload) for message in late] == [b"the last"]
        kinds = [str(message.topic).rsplit("/", 1)[-1] for message in early]
        assert kinds
        assert set(kinds) == {"mail"}


async def test_a_node_with_an_address_reads_a_mailbox_once_it_writes_to_one() -> None:
    """A home that can be reached and a gateway that cannot: answers come over the broker, too."""
    hub = Hub()
    gateway, unused = await pair_of(hub)
    home = side("home", unused.core.transport, identity=IDENTITIES["home"], reachable=True)
    before = home.mailbox.reads
    assert before is None
    await home.run(home.mailbox.service())
    await gateway.listens()
    await home.post.send(gateway.peer, "note", NOTE)
    assert words(gateway) == [NOTE["words"]]
    assert home.mailbox.reads is True
    await closed(gateway, home)


async def test_channels_over_http_carry_a_meeting_and_letters_too(tmp_path: Path) -> None:
    """Where nothing but HTTP gets out: `broker.url = "https://..."`, the relay with the same users and rights."""
    relay = Relay(RelayLog(tmp_path / "relay.db"), USERS, SystemClock())
    runner = web.AppRunner(relay.application(), access_log=None, shutdown_timeout=2)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    nodes = {}
    for name in ("gateway", "home"):
        settings = HttpSettings(f"http://127.0.0.1:{port}", name, name, name, backoff_first=0.05, backoff_most=0.5)
        transport = HttpTransport(settings)
        await transport.start()
        nodes[name] = side(name, transport, identity=IDENTITIES[name])
    gateway, home = nodes["gateway"], nodes["home"]
    await gateway.run(meeting(gateway))
    assert await home.pair((await gateway.gateway.new_code()).qr) == "pairing"
    for node in (gateway, home):
        await node.listens()
    await gateway.post.send(home.peer, "note", NOTE)
    assert words(home) == [NOTE["words"]]
    await closed(gateway, home)
    await runner.cleanup()


async def test_who_takes_a_letter_may_wait_for_an_answer_that_comes_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ask each other while they are asked, as a gateway does that takes a stream over."""
    monkeypatch.setattr(mail, "WAIT_S", 5.0)
    gateway, home = await pair_of(Hub())
    for node in (gateway, home):
        await node.listens()

    async def asks_back(parcel: Parcel) -> Kept:
        await home.post.send(gateway.peer, "other", {"words": "who are you?"})
        return Kept((parcel,))  # type: ignore[arg-type]

    home.inbox.on("note", asks_back)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(gateway.post.send(home.peer, "note", NOTE))
    assert words(home) == [NOTE["words"]] * 3
    assert words(gateway) == ["who are you?"] * 3
    await closed(gateway, home)


async def test_an_answer_that_may_not_be_sent_ends_no_mailbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: a letter names a mailbox for its answer that the recipient may not write to: it comes for ever."""
    hub = Hub()
    gateway, (home, transport) = (await pair_of(hub))[0], await strict(hub, "home")
    for node in (gateway, home):
        await node.listens()
    transport.forbidden = {gateway.mailbox.topic}
    await timed_out(gateway.post.send(home.peer, "note", NOTE), monkeypatch)
    with pytest.raises(NodeUnreachable, match="was not sent") as lost:
        await home.post.send(gateway.peer, "note", NOTE)
    assert "`write wattpact/v1/+/mail`" in lost.value.remedy
    assert not home.mailbox.waiting
    transport.forbidden = set()
    await gateway.post.send(home.peer, "note", {"words": "it goes on"})
    assert words(home) == [NOTE["words"], "it goes on"]
    await closed(gateway, home)


async def test_a_flood_is_dropped_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: whoever may write mail sends a node letters without end, each of which costs it an opening."""
    monkeypatch.setattr(mail, "LETTERS_PER_MINUTE", 60)
    gateway, home = await pair_of(Hub())
    for node in (gateway, home):
        await node.listens()
    for number in range(200):
        await gateway.core.transport.publish(home.mailbox.topic, b"\x01" + bytes([number]) * 1_200)
    refused, dropped = (home.core.metrics.parcels.labels(each) for each in ("refused", "dropped"))

    async def through() -> bool:
        return bool(refused._value.get() + dropped._value.get() == 200)

    await until("all were looked at", through)
    assert 60 <= refused._value.get() < 100
    await timed_out(gateway.post.send(home.peer, "note", NOTE), monkeypatch)
    await home.post.send(gateway.peer, "note", NOTE)  # answers are not questions: what it asks is answered
    assert words(gateway) == [NOTE["words"]]
    await closed(gateway, home)


async def test_a_card_that_may_not_be_shown_is_shown_once_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "RETRY_S", 0.05)
    hub = Hub()
    gateway, (home, transport) = (await pair_of(hub))[0], await strict(hub, "home")
    transport.forbidden = {Topic(Kind.CARD, home.mailbox.topic.sid)}
    await home.run(cards.CardShown(home.core).service())

    async def refused() -> bool:
        return transport.refused > 1

    await until("it was refused twice", refused)
    transport.forbidden = set()
    assert (await cards.fetch_card(gateway.core, home.mailbox.topic.name)).address == home.core.signer.address
    await closed(gateway, home)


async def test_a_broker_that_forgot_gets_card_and_letter_again_at_the_next_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker inside a node without a state file begins with nothing after each restart."""
    hub = Hub()
    gateway, home = await pair_of(hub)
    await gateway.listens()
    await home.run(cards.CardShown(home.core).service())
    place = home.mailbox.topic.name
    await cards.fetch_card(gateway.core, place)
    await timed_out(gateway.post.carry_out(effect(home)), monkeypatch)
    hub.stop()
    hub._retained.clear()
    hub.start()
    assert (await cards.fetch_card(gateway.core, place)).address == home.core.signer.address
    await home.listens()
    await gateway.post.carry_out(effect(home))  # long before its time to be said again
    assert words(home) == [NOTE["words"]]
    await closed(gateway, home)


async def test_a_gateway_whose_meeting_is_refused_goes_on_once_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """The right is taken away while it listens, and the right to answer is there only later."""
    monkeypatch.setattr(meeting_point, "LOOK_S", 0.05)
    monkeypatch.setattr(roads, "AGAIN_S", 0.1)
    hub = Hub()
    home = (await pair_of(hub))[1]
    gateway, transport = await strict(hub, "gateway")
    code = (await gateway.gateway.new_code()).qr
    parsed = parse_code(code)
    assert isinstance(parsed, QrCode)
    await gateway.run(meeting(gateway))

    async def listens() -> bool:
        return bool(transport.opened)

    await until("the gateway listens", listens)
    transport.opened[0].fail(TransportRefused("the relay refuses a subscription that it took before"))

    async def listens_again() -> bool:
        return len(transport.opened) > 1

    await until("it listens again", listens_again)
    transport.forbidden = {Topic(Kind.MEET, Rendezvous.of(parsed.secret).to_home)}
    pairing = asyncio.ensure_future(home.pair(code))

    async def refused() -> bool:
        return transport.refused > 0

    await until("an answer was refused", refused)
    transport.forbidden = set()
    assert await pairing == "pairing"
    await closed(gateway, home)


async def test_a_card_beside_the_mailbox_is_of_the_key_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """permissions.md 1 over the broker. Attack: another card is put there, signed and all, or a broken one."""
    monkeypatch.setattr(cards, "WAIT_S", 2.0)
    gateway, home = await pair_of(Hub())
    place = home.mailbox.topic.name
    beside = Topic(Kind.CARD, home.mailbox.topic.sid)
    with pytest.raises(NodeUnreachable, match="no card"):
        await cards.fetch_card(gateway.core, place)
    await home.run(cards.CardShown(home.core).service())
    found = await cards.fetch_card(gateway.core, place)
    assert (found.address, found.inbox_url) == (home.core.signer.address, "")
    await gateway.core.transport.publish(beside, json.dumps(await cards.OwnCard(gateway.core).signed()).encode())
    with pytest.raises(Refused, match="another node"):
        await cards.fetch_card(gateway.core, place)
    await gateway.core.transport.publish(beside, b"{}")
    with pytest.raises(Refused, match="party card"):
        await cards.fetch_card(gateway.core, place)
    for broken, words_ in ((b"[" * 60_000, "party card"), (b"[]", "party card"), (b" " * 65_537, "too large")):
        await gateway.core.transport.publish(beside, broken)
        with pytest.raises(Refused, match=words_):
            await cards.fetch_card(gateway.core, place)
    for no_mailbox in ("wattpact/v1/x/mail", place.replace("mail", "data")):
        with pytest.raises(Refused, match="not the topic of a mailbox"):
            await cards.fetch_card(gateway.core, no_mailbox)
    await closed(gateway, home)
