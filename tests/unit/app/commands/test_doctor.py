"""Part 8: `wattpact doctor` finds each fault, says what to do, and one broken part does not hide the others."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from node.app.commands.doctor import examine
from node.app.commands.initialize import initialize
from node.cli.factories import Finding, InitOptions, InitResult
from node.clock import Clock, ManualClock, SystemClock
from node.config import LoadedConfig, LocalAccess, load_settings, write_access
from node.runtime.broker.embedded import EmbeddedBroker
from node.runtime.broker.passwords import hash_password
from node.runtime.broker.settings import BrokerSettings, BrokerUser
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from node.types import address_from_text, address_to_text
from tests.unit.node.api.serving import served

pytestmark = [pytest.mark.chain, pytest.mark.broker]

PASSPHRASE = "correct horse battery staple"
PASSWORD = "a broker password"
NOWHERE = "http://127.0.0.1:9"
EMPTY = "0x" + "00" * 20


def write_private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return path


class Node:
    """A data folder with an identity, and settings that a test changes."""

    def __init__(self, folder: Path, made: InitResult) -> None:
        self.folder = folder
        self.made = made
        self.flags: dict[str, object] = {
            "node.passphrase_file": str(write_private(folder / "passphrase", PASSPHRASE)),
            "node.data_dir": str(folder),
            "chain.registry": "0x" + "01" * 20,
            "chain.rpc_urls": (NOWHERE,),
            "broker.url": "mqtt://127.0.0.1:9",
        }

    @property
    def sender(self) -> bytes:
        return address_from_text(self.made.addresses["sender"])

    def config(self) -> LoadedConfig:
        return load_settings(None, environ={}, flags=self.flags)

    async def examine(self, clock: Clock | None = None) -> dict[str, Finding]:
        """As the command does: outside of any loop."""
        found = await asyncio.to_thread(examine, self.config(), clock)
        assert len({finding.name for finding in found}) == len(found)
        assert all(finding.ok or finding.remedy for finding in found), found
        return {finding.name: finding for finding in found}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, InitResult]:
    """Made once: turning a passphrase into a key is slow on purpose."""
    folder = tmp_path_factory.mktemp("doctor") / "node"
    return folder, initialize(InitOptions(folder, SecretStr(PASSPHRASE), None, {}))


@pytest.fixture
def node(tmp_path: Path, template: tuple[Path, InitResult]) -> Node:
    folder, made = template
    return Node(shutil.copytree(folder, tmp_path / "node"), made)


@asynccontextmanager
async def chain(node: Node, options: DevnetOptions | None = None) -> AsyncIterator[Devnet]:
    async with Devnet(options) as devnet:
        node.flags |= {
            "chain.rpc_urls": (devnet.url,),
            "chain.registry": address_to_text(devnet.registry.address),
            "chain.deploy_block": devnet.registry.block,
        }
        yield devnet


@asynccontextmanager
async def broker(node: Node) -> AsyncIterator[EmbeddedBroker]:
    users = (BrokerUser("gw", hash_password(PASSWORD)),)
    running = EmbeddedBroker(BrokerSettings(port=0, users=users))
    await running.start()
    node.flags |= {
        "broker.url": f"mqtt://127.0.0.1:{running.port}",
        "broker.username": "gw",
        "broker.password_file": str(write_private(node.folder / "broker.password", PASSWORD)),
    }
    try:
        yield running
    finally:
        await running.stop()


async def test_all_is_well_on_a_node_that_is_set_up(node: Node) -> None:
    device, other_end = os.openpty()
    node.flags |= {"node.roles": ("home", "gateway"), "meter.kind": "serial", "meter.device": os.ttyname(other_end)}
    try:
        async with chain(node) as devnet, broker(node):
            await devnet.fund(node.sender)
            found = await node.examine()
    finally:
        os.close(device)
        os.close(other_end)
    assert all(finding.ok for finding in found.values()), found
    assert set(found) == {
        "data folder", "disk", "keystore", "meter", "chain", "newest block", "clock", "registry", "sender", "broker",
        "node",
    }  # fmt: skip
    assert PASSPHRASE not in str(found)
    assert PASSWORD not in str(found)


async def test_with_nothing_there_every_part_says_so_and_none_raises(tmp_path: Path) -> None:
    flags = {
        "node.data_dir": str(tmp_path / "nowhere"),
        "node.roles": ("gateway",),
        "chain.registry": EMPTY,
        "chain.rpc_urls": (NOWHERE, "http://127.0.0.1:10"),
        "broker.url": "mqtt://127.0.0.1:9",
    }
    config = load_settings(None, environ={}, flags=flags)
    found = {finding.name: finding for finding in await asyncio.to_thread(examine, config)}
    assert {name for name, finding in found.items() if finding.ok} == {"node"}
    assert "placeholder" in found["registry address"].detail
    assert "wattpact init" in found["data folder"].remedy
    assert all(finding.ok or finding.remedy for finding in found.values())


async def test_an_unfunded_sender_is_told_its_address_and_what_to_do(node: Node) -> None:
    async with chain(node) as devnet:
        found = (await node.examine())["sender"]
        assert not found.ok
        assert address_to_text(node.sender) in found.detail
        amount = Decimal(found.remedy.split("at least ")[1].split(" ETH")[0])
        assert f"`wattpact test-ether {address_to_text(node.sender)}`" in found.remedy
        await devnet.fund(node.sender, int(2 * amount * 10**18))
        assert (await node.examine())["sender"].ok


async def test_a_role_that_lacks_its_contract_is_named_before_the_start(node: Node) -> None:
    node.flags |= {"node.roles": ("market", "community")}
    found = await node.examine()
    assert not found["settlement.market"].ok
    assert "role community" in found["settlement.energy_token"].detail


async def test_a_wrong_chain_and_a_wrong_registry(node: Node) -> None:
    async with chain(node, DevnetOptions(AnvilOptions(chain_id=4242))):
        found = await node.examine()
        assert not found["chain"].ok
        assert "4242" in found["chain"].detail
        assert "chain_id" in found["chain"].remedy
        node.flags |= {"chain.chain_id": 4242}
        assert (await node.examine())["registry"].ok
        node.flags |= {"chain.registry": "0x" + "01" * 20}
        found = await node.examine()
        assert found["chain"].ok
        assert not found["registry"].ok
        assert "[chain] registry" in found["registry"].remedy


async def test_a_deploy_block_after_the_deployment_would_lose_events(node: Node) -> None:
    async with chain(node) as devnet:
        head = await devnet.mine(5)
        node.flags |= {"chain.deploy_block": head.number}
        found = (await node.examine())["registry"]
        assert not found.ok
        assert "deploy_block" in found.detail


async def test_one_dead_rpc_node_beside_a_living_one_is_named_without_its_key(node: Node) -> None:
    async with chain(node) as devnet:
        node.flags |= {"chain.rpc_urls": (f"{NOWHERE}/v3/secret-key", devnet.url)}
        found = await node.examine()
    assert not found["chain"].ok
    assert "127.0.0.1:9" in found["chain"].detail
    assert "secret-key" not in str(found)
    assert found["registry"].ok


@pytest.mark.parametrize(
    ("shift", "wrong"),
    [(-500, {"clock"}), (500, {"clock", "newest block"}), (2_400_000_000, {"clock", "newest block"})],
)
async def test_a_clock_that_is_wrong_is_found(node: Node, shift: int, wrong: set[str]) -> None:
    """Must hold: a stuck clock, a clock in 2099."""
    async with chain(node) as devnet:
        await devnet.fund(node.sender)
        found = await node.examine(ManualClock(SystemClock().now() + shift))
    failing = {name for name, finding in found.items() if not finding.ok} - {"broker"}
    assert failing == wrong
    assert "timedatectl" in found["clock"].remedy


async def test_a_chain_that_stands_still_is_found(node: Node) -> None:
    options = DevnetOptions(AnvilOptions(block_time=0, timestamp=SystemClock().now() - 4_000))
    async with chain(node, options):
        found = await node.examine()
    assert not found["newest block"].ok
    assert "max_chain_silence_s" in found["newest block"].detail


async def test_the_broker_is_logged_in_to(node: Node) -> None:
    async with broker(node):
        assert (await node.examine())["broker"].ok
        node.flags["broker.password_file"] = str(write_private(node.folder / "wrong", "wrong"))
        found = (await node.examine())["broker"]
        assert not found.ok
        assert "refuses gw" in found.detail
        (node.folder / "wrong").chmod(0o644)
        found = (await node.examine())["broker"]
        assert "chmod 600" in found.remedy
    node.flags["broker.password_file"] = str(node.folder / "broker.password")
    found = (await node.examine())["broker"]
    assert "does not answer" in found.detail


async def test_something_that_is_no_broker_is_found(node: Node) -> None:
    async with served() as other:
        node.flags["broker.url"] = f"mqtt://127.0.0.1:{other.server.listen.port}"
        assert not (await node.examine())["broker"].ok


async def test_an_embedded_broker_is_not_missed_while_no_node_runs(node: Node) -> None:
    node.flags["broker.embedded"] = True
    found = await node.examine()
    assert found["broker"].ok
    assert not found["broker users"].ok


async def test_an_authority_that_cannot_be_read_is_named(node: Node) -> None:
    node.flags |= {"broker.url": "mqtts://127.0.0.1:9", "broker.ca_file": str(write_private(node.folder / "ca", "x"))}
    found = (await node.examine())["broker"]
    assert "certificate authority" in found.detail


Spoil = Callable[[Node], object]
LOCAL: dict[str, tuple[str, str, Spoil]] = {
    "a folder that others can enter": ("data folder", "chmod 700", lambda n: n.folder.chmod(0o750)),
    "a database that others can write": (
        "data folder", "chmod go=", lambda n: write_private(n.folder / "wattpact.db", "").chmod(0o666)
    ),
    "no passphrase": ("keystore", "passphrase_file", lambda n: n.flags.pop("node.passphrase_file")),
    "a wrong passphrase": ("keystore", "passphrase_file", lambda n: write_private(n.folder / "passphrase", "wrong")),
    "a passphrase that others can read": ("keystore", "chmod 600", lambda n: (n.folder / "passphrase").chmod(0o644)),
    "a missing passphrase file": ("keystore", "", lambda n: (n.folder / "passphrase").unlink()),
    "keys that others can read": (
        "keystore", "chmod 600", lambda n: (n.folder / "keystore" / "mnemonic.key").chmod(0o644)
    ),
    "damaged keys": ("keystore", "backup", lambda n: (n.folder / "keystore" / "mnemonic.key").write_text("{}")),
    "no keystore": ("keystore", "wattpact init", lambda n: (n.folder / "keystore").rename(n.folder / "moved")),
    "an access file of a dead node": (
        "node", "api.json", lambda n: write_access(n.folder, LocalAccess("http://127.0.0.1:9", "token"))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOCAL)
async def test_faults_on_this_machine_are_found(node: Node, name: str) -> None:
    part, remedy, spoil = LOCAL[name]
    spoil(node)
    found = await node.examine()
    assert not found[part].ok
    assert remedy in found[part].remedy
    assert PASSPHRASE not in str(found)


async def test_a_gateway_that_is_open_to_others_is_asked_for_its_proxies(node: Node) -> None:
    """permissions.md 2: a proxy that adds no header makes the whole world look like the network it stands in."""
    node.flags |= {"node.roles": ("gateway",), "api.listen": "0.0.0.0:8750", "api.plain_http": True}
    proxy = (await node.examine())["proxy"]
    assert proxy.ok  # a port that only this machine can reach is well, and that is not to be seen from here
    assert "api.trusted_proxies" in proxy.detail
    assert "X-Forwarded-For" in proxy.remedy
    node.flags["api.trusted_proxies"] = ("172.18.0.9",)
    assert "proxy" not in await node.examine()


async def test_the_meter_of_a_gateway(node: Node, tmp_path: Path) -> None:
    recording = tmp_path / "telegrams"
    recording.write_text("")
    node.flags["node.roles"] = ("gateway",)
    assert not (await node.examine())["meter"].ok
    node.flags |= {"meter.kind": "file", "meter.device": str(recording)}
    assert (await node.examine())["meter"].ok
    node.flags["meter.kind"] = "serial"
    assert "is not a device" in (await node.examine())["meter"].detail
    node.flags["meter.device"] = str(tmp_path / "gone")
    assert "/dev/serial/by-id" in (await node.examine())["meter"].remedy
    node.flags["node.roles"] = ("home",)
    assert "meter" not in await node.examine()


async def test_a_running_node_is_asked_how_it_does(node: Node) -> None:
    async with served() as running:
        write_access(node.folder, LocalAccess(running.server.url, running.admin))
        found = await node.examine()
        assert found["node"].ok
        readiness = {name: finding for name, finding in found.items() if name.startswith("node readiness: ")}
        checks = (await running.node.readiness()).checks
        assert {name.removeprefix("node readiness: "): finding.ok for name, finding in readiness.items()} == {
            check.name: check.ok for check in checks
        }
        assert checks
        write_access(node.folder, LocalAccess(running.server.url, "a token of yesterday"))
        found = await node.examine()
        assert not found["node"].ok
