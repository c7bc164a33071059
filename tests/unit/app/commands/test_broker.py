"""`wattpact broker run`: the embedded broker alone, with the users and rights of the config."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import aiomqtt
import pytest

from node.app.commands.broker import broker_settings
from node.config import load_settings
from node.errors import ConfigError
from node.runtime.broker.passwords import hash_password
from tests.unit.app.commands.processes import wattpact

pytestmark = pytest.mark.broker
PASSWORD = "a broker password"
REGISTRY = "0x" + "00" * 20


def write_config(folder: Path, rules: Sequence[str] = ("readwrite wattpact/v1/a/data", "read wattpact/v1/b/#")) -> Path:
    hash_file = folder / "gw.hash"
    hash_file.touch(mode=0o600)
    hash_file.write_text(hash_password(PASSWORD) + "\n")
    listed = ", ".join(f'"{rule}"' for rule in rules)
    path = folder / "wattpact.toml"
    path.write_text(
        f'[chain]\nregistry = "{REGISTRY}"\n[broker]\nembedded = true\nlisten = "127.0.0.1:0"\n'
        f'[[broker.users]]\nname = "gw"\npassword_hash_file = "gw.hash"\nrules = [{listed}]\n'
    )
    return path


def test_rules_become_rights(tmp_path: Path) -> None:
    settings = broker_settings(load_settings(write_config(tmp_path), environ={}).settings)
    [user] = settings.users
    assert user.publish == ("wattpact/v1/a/data",)
    assert user.subscribe == ("wattpact/v1/a/data", "wattpact/v1/b/#")
    assert settings.port == 0
    assert settings.state_file is not None
    assert settings.state_file.is_relative_to(tmp_path)


def test_a_hash_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    (tmp_path / "gw.hash").chmod(0o644)
    with pytest.raises(ConfigError, match="other users"):
        broker_settings(load_settings(config, environ={}).settings)


def client(where: str, password: str = PASSWORD) -> aiomqtt.Client:
    host, _, port = where.removeprefix("mqtt://").rpartition(":")
    return aiomqtt.Client(host, int(port), username="gw", password=password, identifier="gw:test", timeout=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_serves_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    config = write_config(tmp_path)
    async with wattpact("--config", str(config), "broker", "run", cwd=tmp_path) as started:
        where = await started.until("broker: ")
        async with client(where) as mqtt:
            await mqtt.subscribe("wattpact/v1/a/data", qos=1)
            await mqtt.publish("wattpact/v1/a/data", b"sealed", qos=1, retain=True)
            message = await anext(aiter(mqtt.messages))
            assert message.payload == b"sealed"
        with pytest.raises(aiomqtt.MqttError):
            async with client(where, "wrong"):
                pass
        assert await started.end(number) == 0
    async with wattpact("--config", str(config), "broker", "run", cwd=tmp_path) as again:
        async with client(await again.until("broker: ")) as mqtt:
            await mqtt.subscribe("wattpact/v1/a/data", qos=1)
            message = await anext(aiter(mqtt.messages))
            assert (message.payload, message.retain) == (b"sealed", True)
        assert await again.end(number) == 0


async def test_two_brokers_do_not_share_a_folder(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    async with wattpact("--config", str(config), "broker", "run", cwd=tmp_path) as first:
        await first.until("broker: ")
        async with wattpact("--config", str(config), "broker", "run", cwd=tmp_path) as second:
            _, err = await second.process.communicate()
            assert second.process.returncode == 7
            assert b"Another broker" in err
