"""`wattpact broker run`: the embedded broker alone, as a process of its own."""

from __future__ import annotations

import asyncio

from channels.errors import FolderLocked
from channels.guard import FolderLock
from node.api.relay import Relay
from node.api.server import ApiServer
from node.app.stopping import say, stop_signals
from node.clock import Clock, SystemClock
from node.config import ApiSettings, Listen, LoadedConfig, Settings, parse_topic_rule, read_secret
from node.errors import Busy
from node.runtime.broker.authority import CertificateFiles, server_context
from node.runtime.broker.embedded import EmbeddedBroker
from node.runtime.broker.settings import BrokerSettings, BrokerUser
from node.runtime.relay.log import RelayLog

__all__ = ["OwnBroker", "broker_settings", "run_broker"]

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


class OwnBroker:
    """The broker inside this process: MQTT, and HTTP beside it where the config says so. One table of users, two logs:
    what comes in over one is not handed on over the other."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        mqtt = broker_settings(settings)
        broker = settings.broker
        self.mqtt = EmbeddedBroker(mqtt)
        self.http: ApiServer | None = None
        self._scheme = "mqtts" if mqtt.tls else "mqtt"
        self._host = mqtt.host
        if broker.http_listen is not None:
            log = RelayLog(settings.node.data_dir / "broker" / "relay.db", mqtt.limits.session_seconds)
            limits = ApiSettings(
                listen=broker.http_listen,
                tls_cert=broker.tls_cert,
                tls_key=broker.tls_key,
                plain_http=broker.plain_mqtt,
            )
            self.http = ApiServer(Relay(log, mqtt.users, clock).application(), limits)

    async def start(self) -> None:
        """Raises BrokerNotStarted, Busy, ConfigError."""
        await self.mqtt.start()
        if self.http is not None:
            await self.http.start()

    async def stop(self) -> None:
        if self.http is not None:
            await self.http.close()
        await self.mqtt.stop()

    @property
    def addresses(self) -> list[str]:
        """Where it listens."""
        found = [f"{self._scheme}://{Listen(self._host, self.mqtt.port)}"]
        return found if self.http is None else [*found, self.http.url]


def run_broker(config: LoadedConfig) -> None:
    """Until SIGTERM or SIGINT. Says on stdout where it listens. Raises ConfigError, BrokerNotStarted, Busy."""
    broker = OwnBroker(config.settings, SystemClock())
    names = [user.name for user in config.settings.broker.users]
    folder = config.settings.node.data_dir / "broker"
    try:
        with FolderLock(folder):
            asyncio.run(_serve(broker, names))
    except FolderLocked as error:
        raise Busy(
            f"Another broker uses {folder}.", remedy="Stop it, or give this one a data folder of its own."
        ) from error


async def _serve(broker: OwnBroker, names: list[str]) -> None:
    with stop_signals() as stop:
        await broker.start()
        try:
            for address in broker.addresses:
                say(f"broker: {address}")
            say(f"users: {', '.join(names) or 'none, so nobody can connect'}")
            await stop.wait()
        finally:
            await broker.stop()
