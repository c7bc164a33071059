"""Of a device that ends: its mailbox at the broker, and its card that the broker keeps beside that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from channels.errors import TransportError
from channels.transports.topics import Kind, Topic
from keys.identity import Identity
from node.app.transport import open_transport
from node.config import Settings
from node.errors import ConfigError

__all__ = ["mailbox_of", "not_at_broker", "take_card_off"]

CLEAR_S = 5.0
"""Seconds for the broker to take a card off."""


def mailbox_of(identity: Identity) -> str:
    """The topic that letters to a node of this identity go to."""
    return Topic(Kind.MAIL, identity.sealing_key("inbox").key_hash()).name


def _card_of(mailbox: str) -> Topic:
    return Topic(Kind.CARD, Topic.parse(mailbox).sid)


async def take_card_off(settings: Settings, mailbox: str, identity: Identity) -> bool:
    """Connects as `identity` and empties the topic of the card; False where the broker is not there or refuses. Only a
    node without an address ever showed a card there; the state of an embedded broker goes with the data folder."""
    if not settings.node.outbound_only or settings.broker.embedded:
        return True
    try:
        transport = open_transport(settings, identity)
    except ConfigError:
        return False
    await transport.start()
    try:
        async with asyncio.timeout(CLEAR_S):
            await transport.clear(_card_of(mailbox))
    except (TimeoutError, TransportError):
        return False
    finally:
        await transport.stop()
    return True


def not_at_broker(mailbox: str | None, card_gone: bool) -> Iterator[str]:
    """What a reset leaves at the broker, for people to look after; without a mailbox it is not known which it was."""
    yield f"at the broker: rules for {mailbox or 'the former mailbox'} and letters that wait there; nobody opens them"
    if mailbox is None:
        yield "at the broker, if the gateway was outbound-only: the former card (name, contact, account)"
    elif not card_gone:
        card = _card_of(mailbox).name
        yield f"at the broker: the former card (name, contact, account); send {card} an empty retained message"
