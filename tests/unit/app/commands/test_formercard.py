"""What a reset does about the mailbox and the card of the device that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from channels.transports.base import Transport
from channels.transports.topics import Kind, Topic
from keys.files import create_file
from node.app.commands import formercard
from node.app.commands import reset as reset_module
from node.app.commands.formercard import mailbox_of
from node.app.commands.initialize import initialize
from node.app.commands.reset import reset_gateway
from node.app.datadir import DataDir, open_identity
from node.app.transport import open_transport
from node.cli import InitOptions, ResetOptions
from node.config import LoadedConfig, load_settings
from node.errors import NodeUnreachable
from node.runtime.broker.embedded import EmbeddedBroker
from node.runtime.broker.passwords import hash_password
from node.runtime.broker.settings import BrokerSettings, BrokerUser
from node.storage.errors import DatabaseUnusable

PASSPHRASE = SecretStr("correct horse battery staple")
RIGHTS = ("wattpact/v1/+/card", "wattpact/v1/#")
SETTINGS = {
    "node.roles": ("gateway",), "node.outbound_only": True, "chain.registry": "0x" + "12" * 20, "chain.chain_id": 31337,
    "broker.username": "gw",
}  # fmt: skip


def gateway(folder: Path, broker_url: str) -> tuple[LoadedConfig, ResetOptions]:
    """An outbound-only gateway that has just been made."""
    password, passphrase = folder.parent / "password", folder.parent / "passphrase"
    create_file(password, b"of the broker")
    create_file(passphrase, PASSPHRASE.get_secret_value().encode())
    places = {
        "broker.url": broker_url, "broker.password_file": str(password), "node.passphrase_file": str(passphrase),
        "node.data_dir": str(folder),
    }  # fmt: skip
    initialize(InitOptions(folder, PASSPHRASE, None, SETTINGS))
    return load_settings(None, environ={}, flags={**SETTINGS, **places}), ResetOptions(PASSPHRASE)


def topics(config: LoadedConfig) -> tuple[str, Topic]:
    mailbox = mailbox_of(open_identity(DataDir.of(config.settings), PASSPHRASE)[1])
    return mailbox, Topic(Kind.CARD, Topic.parse(mailbox).sid)


@asynccontextmanager
async def connected(config: LoadedConfig) -> AsyncIterator[Transport]:
    transport = open_transport(config.settings, open_identity(DataDir.of(config.settings), PASSPHRASE)[1])
    await transport.start()
    try:
        yield transport
    finally:
        await transport.stop()


@pytest.mark.broker
async def test_the_broker_shows_the_former_card_no_more(tmp_path: Path) -> None:
    user = BrokerUser("gw", hash_password("of the broker"), RIGHTS, RIGHTS)
    broker = EmbeddedBroker(BrokerSettings(port=0, users=(user,)))
    await broker.start()
    try:
        config, options = gateway(tmp_path / "gateway", f"mqtt://127.0.0.1:{broker.port}")
        mailbox, card = topics(config)
        async with connected(config) as transport:
            await transport.publish(card, b"name, contact, account")
        made = await asyncio.to_thread(reset_gateway, config, options)
        async with connected(config) as transport, await transport.subscribe(card) as shown:
            await transport.publish(card, b"something later")
            assert (await anext(shown)).payload == b"something later"
    finally:
        await broker.stop()
    assert made.former["mailbox"] == mailbox != made.addresses["mailbox"] == topics(config)[0]
    assert any(mailbox in each and "rules" in each for each in made.stays)
    assert not any(card.name in each for each in made.stays)


async def test_a_card_that_could_not_be_taken_off_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a run that completes one that broke off: the keys that name the mailbox are gone by then."""
    monkeypatch.setattr(formercard, "CLEAR_S", 0.2)
    config, options = gateway(tmp_path / "gateway", "mqtt://127.0.0.1:9")
    mailbox, card = topics(config)

    async def away(url: str, _: object) -> None:
        raise DatabaseUnusable(f"{url} cannot be emptied.")

    with monkeypatch.context() as broken:
        broken.setattr(reset_module, "_servers", lambda _: [("postgresql://gone", None)])
        broken.setattr(reset_module, "drop_tables", away)
        with pytest.raises(NodeUnreachable):
            await asyncio.to_thread(reset_gateway, config, options)
    made = await asyncio.to_thread(reset_gateway, config, options)
    assert made.former == {}
    assert any(card.name in each for each in made.stays)
    assert any(mailbox in each for each in made.stays)
