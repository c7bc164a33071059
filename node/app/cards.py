"""Party cards: how a node shows itself, signed by the account it shows (permissions.md 1)."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from typing import Any

import aiohttp
import structlog

from channels.errors import TransportError, TransportRefused
from channels.transports.base import LinkState
from channels.transports.topics import Kind, Topic
from keys.messages import parcel_domain
from keys.sealing import reader_key_hash
from node.app.core import Core
from node.app.services import until_stopped
from node.errors import NodeUnreachable, Refused
from node.runtime.outbound import read_at_most
from node.runtime.supervisor import Lifecycle, Service
from node.wire.cards import CARD_PATH, card_statement, read_card
from node.wire.consents import PartyCard

__all__ = ["CardShown", "OwnCard", "card_in", "fetch_card"]

_log = structlog.get_logger(__name__)

MAX_BYTES = 65_536
SHOW_S = 86_400.0
RETRY_S = 30.0
WAIT_S = 10.0
MAILBOXES = "wattpact/"
"""How the name of every mailbox begins, and no address."""


class OwnCard:
    """This node's card, signed anew for whoever asks."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def signed(self) -> dict[str, Any]:
        """The document of /.well-known/wattpact.json."""
        core = self._core
        card, nonce, now = core.card, os.urandom(32), core.clock.now()
        domain = parcel_domain(core.settings.chain.chain_id)
        signature = await core.signer.sign_message(card_statement(card, nonce, now), domain)
        return {"card": card.to_json(), "nonce": nonce.hex(), "signed_at": now, "signature": signature.hex()}


class CardShown:
    """The card of a node without an address, kept by the broker beside its mailbox."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def service(self) -> Service:
        """Shows it, every day anew, for a card holds for a week, and at each connection: a broker may forget."""

        async def run(life: Lifecycle) -> None:
            connected = asyncio.Event()

            def changed(state: LinkState, _: str) -> None:
                if state is LinkState.CONNECTED:
                    connected.set()

            off = self._core.transport.on_state(changed)
            try:
                await until_stopped(life, self._show(connected))
            finally:
                off()

        return Service("card", run)

    async def _show(self, connected: asyncio.Event) -> None:
        topic = Topic(Kind.CARD, self._core.keys.sealing.key_hash())
        while True:
            document = json.dumps(await OwnCard(self._core).signed()).encode()
            pause = SHOW_S
            try:
                await self._core.transport.publish(topic, document)
            except TransportRefused as error:
                pause = RETRY_S
                _log.error(
                    "card_refused", reason=str(error), remedy=f"give this user at the broker: write {topic.name}"
                )
            connected.clear()  # this connection was asked
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await connected.wait()


async def fetch_card(core: Core, place: str, field: str | None = None) -> PartyCard:
    """The card that a node shows of itself, at its address or, for a node without one, beside its mailbox (whose topic
    is the place). Raises NodeUnreachable, or Refused for something that is no signed card; `field` is the member of a
    caller's form that named the place."""
    try:
        return await _shown(core, place)
    except (NodeUnreachable, Refused) as error:
        error.field = field
        raise


async def _shown(core: Core, place: str) -> PartyCard:
    if not place.startswith(MAILBOXES):
        return await _over_http(core, place)
    try:
        topic = Topic.parse(place)
    except TransportError:
        topic = None
    if topic is None or topic.kind is not Kind.MAIL:
        raise Refused(f"{place} is not the topic of a mailbox.", remedy="`wattpact status` at that node shows it.")
    card = card_in(await _kept(core, topic), place, core)
    if reader_key_hash(card.sealing_key) != topic.sid:
        raise Refused(f"The card beside {place} is of another node.", remedy="Do not use it.")
    return card


async def _kept(core: Core, mailbox: Topic) -> bytes:
    """What the broker keeps beside a mailbox."""
    try:
        async with asyncio.timeout(WAIT_S):
            async with await core.transport.subscribe(Topic(Kind.CARD, mailbox.sid)) as shown:
                try:
                    found = (await anext(shown)).payload
                finally:
                    await shown.unsubscribe()
    except (TimeoutError, TransportRefused) as error:
        raise NodeUnreachable(
            f"The broker shows no card beside {mailbox.name}.",
            remedy="See that the node there runs, uses the same broker and may `write` its card, and that this user may"
            " `read wattpact/v1/+/card`.",
        ) from error
    if len(found) > MAX_BYTES:
        raise Refused(f"What the broker keeps beside {mailbox.name} is too large for a card.", remedy="Do not use it.")
    return found


def card_in(raw: bytes, place: str, core: Core) -> PartyCard:
    """The signed card in what a place shows. Raises Refused for anything else."""
    try:
        found: dict[str, Any] = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{place} does not show a party card.", remedy="Is a Wattpact node there?") from error
    return read_card(found, place, core.settings.chain.chain_id, core.clock.now())


async def _over_http(core: Core, url: str) -> PartyCard:
    try:
        async with core.http.get(url.rstrip("/") + CARD_PATH, allow_redirects=False) as answer:
            raw = await read_at_most(answer, MAX_BYTES)
            if answer.status != 200:
                raise NodeUnreachable(f"{url} answers {answer.status}.", remedy="Check the address.")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise NodeUnreachable(f"{url} cannot be reached.", remedy="Check the address and the network.") from error
    return card_in(raw, url, core)
