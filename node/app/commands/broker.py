"""`wattpact broker run`: the embedded broker alone, as a process of its own."""

from __future__ import annotations

import asyncio

from channels.errors import FolderLocked
from channels.guard import FolderLock
from node.app.commands.stopping import say, stop_signals
from node.config import Listen, LoadedConfig, Settings, parse_topic_rule, read_secret
from node.errors import Busy
from node.runtime.broker.authority import CertificateFiles, server_context
from node.runtime.broker.embedded import EmbeddedBroker
from node.runtime.broker.settings import BrokerSettings, BrokerUser

__all__ = ["broker_settings", "run_broker"]

_READS, _WRITES = ("read", "readwrite"), ("write", "readwrite")


def broker_settings(settings: Settings) -> BrokerSettings:
    """What the config says about the broker, hash and certificate files read. Raises ConfigError."""
    users = []
    for user in settings.broker.users:
        rules = [parse_topic_rule(rule) for rule in user.rules]
        users.append(
            BrokerUser(
                user.name,
                read_secret(user.password_hash_file).get_secret_value(),
                publish=tuple(topic for access, topic in rules if access in _WRITES),
                subscribe=tuple(topic for access, topic in rules if access in _READS),
            )
        )
    host, port = settings.broker.listen
    state_file = settings.node.data_dir / "broker" / "state.db"
    tls = None
    if settings.broker.tls_cert is not None and settings.broker.tls_key is not None:
        files = CertificateFiles(settings.broker.tls_cert, settings.broker.tls_key)
        tls = server_context(files, settings.broker.client_ca_file)
    return BrokerSettings(host, port, tuple(users), state_file, tls)


def run_broker(config: LoadedConfig) -> None:
    """Until SIGTERM or SIGINT. Says on stdout where it listens. Raises ConfigError, BrokerNotStarted, Busy."""
    settings = broker_settings(config.settings)
    folder = config.settings.node.data_dir / "broker"
    try:
        with FolderLock(folder):
            asyncio.run(_serve(settings))
    except FolderLocked as error:
        raise Busy(
            f"Another broker uses {folder}.", remedy="Stop it, or give this one a data folder of its own."
        ) from error


async def _serve(settings: BrokerSettings) -> None:
    with stop_signals() as stop:
        broker = EmbeddedBroker(settings)
        await broker.start()
        try:
            say(f"broker: {'mqtts' if settings.tls else 'mqtt'}://{Listen(settings.host, broker.port)}")
            say(f"users: {', '.join(user.name for user in settings.users) or 'none, so nobody can connect'}")
            await stop.wait()
        finally:
            await broker.stop()
