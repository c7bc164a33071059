"""The MQTT broker: reached, and taken as who we say we are."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from typing import Final
from urllib.parse import urlsplit

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from channels.transports.base import LinkState
from channels.transports.http import HttpSettings, HttpTransport
from node.app.commands.broker import broker_settings
from node.app.commands.checks.report import broken, failed, well
from node.app.transport import broker_tls
from node.cli.factories import Finding
from node.config import Settings, broker_password
from node.errors import ConfigError, NodeError

__all__ = ["check_broker"]

_PATIENCE_S: Final = 5.0
# MQTT 3.1.1 table 3.1: bad user name or password, not authorized; paho may say it in the numbers of MQTT 5.
_REFUSED: Final = frozenset({4, 5, 134, 135})


async def check_broker(settings: Settings, node_runs: bool) -> list[Finding]:
    """`node_runs`: an embedded broker lives and dies with its node, so that its absence says nothing else."""
    findings = _embedded(settings)
    if settings.broker.embedded and not node_runs:
        return [*findings, well("broker", "runs inside the node, which does not run now")]
    return [*findings, await _login(settings)]


def _embedded(settings: Settings) -> list[Finding]:
    """Users and hash files of a broker of ours."""
    if not settings.broker.embedded and not settings.broker.users:
        return []
    try:
        found = broker_settings(settings)
    except NodeError as error:
        return [failed("broker users", error)]
    if not found.users:
        return [broken("broker users", "the embedded broker has none", "Name them in [[broker.users]].")]
    return [well("broker users", ", ".join(user.name for user in found.users))]


async def _login(settings: Settings) -> Finding:
    broker, name = settings.broker, "broker"
    parts = urlsplit(broker.url)
    where = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    try:
        password, tls = broker_password(settings), broker_tls(settings)
    except ConfigError as error:
        return failed(name, error)
    if parts.scheme in ("http", "https"):
        return await _login_http(settings, password.get_secret_value() if password else "", tls, where)
    client = aiomqtt.Client(
        parts.hostname or "127.0.0.1",
        parts.port or (8883 if tls else 1883),
        username=broker.username,
        password=password.get_secret_value() if password else None,
        # Another name than the node's, so that looking does not throw it out; ours must begin with the user's.
        identifier=f"{broker.username or 'wattpact'}:doctor-{secrets.token_hex(4)}",
        clean_session=True,
        timeout=_PATIENCE_S,
        tls_context=tls,
    )
    try:
        async with client:
            return well(name, f"{where} took us as {broker.username or 'nobody in particular'}")
    except MqttConnectError as error:
        if _number(error) in _REFUSED:
            remedy = "Check [broker] username and password_file against the broker's users."
            return broken(name, f"{where} refuses {broker.username or 'a client without a name'}", remedy)
        return broken(name, f"{where} does not take us: {error}", "Look into the broker's log.")
    except (aiomqtt.MqttError, OSError) as error:
        return broken(name, f"{where} does not answer: {error}", "Start the broker, or correct [broker] url.")


def _number(error: MqttConnectError) -> int | None:
    """aiomqtt hands on paho's reason: a number, or an object that holds one."""
    code = error.rc
    return code if code is None or isinstance(code, int) else int(code.value)


async def _login_http(settings: Settings, password: str, tls: ssl.SSLContext | None, where: str) -> Finding:
    name, user = "broker", settings.broker.username or ""
    client = f"{user}:doctor-{secrets.token_hex(4)}"
    transport = HttpTransport(HttpSettings(settings.broker.url, client, user, password, tls, timeout=_PATIENCE_S))
    decided: asyncio.Future[tuple[LinkState, str]] = asyncio.get_running_loop().create_future()

    def heard(state: LinkState, reason: str) -> None:
        known = state is LinkState.CONNECTED or bool(reason)
        if known and not decided.done():
            decided.set_result((state, reason))

    transport.on_state(heard)
    await transport.start()
    try:
        state, reason = await asyncio.wait_for(decided, 2 * _PATIENCE_S)
    except TimeoutError:
        state, reason = LinkState.CONNECTING, "no answer"
    finally:
        await transport.stop()
    if state is LinkState.CONNECTED:
        return well(name, f"{where} took us as {user}")
    if state is LinkState.REFUSED:
        remedy = "Check [broker] username and password_file against the broker's users."
        return broken(name, f"{where} refuses {user or 'a client without a name'}", remedy)
    return broken(name, f"{where} does not answer: {reason}", "Start the broker, or correct [broker] url.")
