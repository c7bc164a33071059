"""What channels/transports/mqtt_client.py takes for granted about aiomqtt and paho."""

from __future__ import annotations

import asyncio
import inspect

import aiomqtt
import paho.mqtt.client as paho

from channels.transports.mqtt_client import Client, MqttSettings
from tests.support.processes import PATIENCE


def test_the_names_that_are_used_exist() -> None:
    for name in ("ack", "manual_ack_set", "_sock_close", "loop_write"):
        assert callable(getattr(paho.Client, name))
    for name in ("_client_connect", "_on_socket_register_write", "_on_disconnect"):
        assert callable(getattr(aiomqtt.Client, name))
    assert list(inspect.signature(aiomqtt.Client._on_socket_register_write).parameters)[1:] == [
        "client",
        "userdata",
        "sock",
    ]
    assert list(inspect.signature(paho.Client.ack).parameters)[1:] == ["mid", "qos"]


async def test_the_attributes_that_are_used_exist() -> None:
    client = Client(MqttSettings("127.0.0.1", 1, "test"))
    assert client._client._manual_ack is True
    assert not client._connected.done()
    assert not client._disconnected.done()
    assert client._loop is asyncio.get_running_loop()


async def test_an_attempt_that_is_given_up_leaves_no_socket_behind() -> None:
    """A broker that accepts and never answers; then one that hangs up before it answers."""
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait(writer)
        while await reader.read(1000):
            continue
        writer.close()
        ended.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client(MqttSettings("127.0.0.1", port, "test", timeout=60.0))
    attempt = asyncio.create_task(client.__aenter__())
    await asyncio.wait_for(accepted.get(), PATIENCE)
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)
    client.abandon()
    await asyncio.wait_for(ended.wait(), PATIENCE)

    again = Client(MqttSettings("127.0.0.1", port, "test", timeout=60.0))
    attempt = asyncio.create_task(again.__aenter__())
    (await asyncio.wait_for(accepted.get(), PATIENCE)).transport.abort()
    (outcome,) = await asyncio.wait_for(asyncio.gather(attempt, return_exceptions=True), PATIENCE)
    assert isinstance(outcome, aiomqtt.MqttError)
    again.abandon()
    await asyncio.sleep(0)
    server.close()
    await server.wait_closed()
