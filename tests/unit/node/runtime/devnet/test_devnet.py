"""Part 3: `wattpact devnet` is anvil + deployment + funded accounts, one line of output per fact, clean stop."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.bindings import energy_token, market, net_settlement
from contracts.deployments import read_deployments
from contracts.errors import DeploymentError
from node.errors import ExitCode
from node.ledger.views import RegistryViews
from node.runtime.devnet.anvil import AnvilOptions, AnvilProcess, find_anvil
from node.runtime.devnet.deploy import deploy_energy_token
from node.runtime.devnet.devnet import ETHER, Devnet, DevnetOptions
from node.runtime.devnet.errors import AnvilFailed, AnvilMissing, DevnetError
from node.runtime.devnet.settlement import deploy_settlement
from node.types import address_to_text

pytestmark = pytest.mark.chain
POOR = b"\x77" * 20


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.long
async def test_a_chain_that_takes_its_time_is_told_once_what_to_do() -> None:
    """A request that is repeated because its answer is late would be carried out twice: blocks, a reorg, a payment."""
    async with Devnet(DevnetOptions(AnvilOptions(block_time=0))) as devnet:
        before = (await devnet.rpc.head()).number
        assert (await devnet.mine(4_000)).number == before + 4_000


async def test_it_deploys_funds_writes_and_stops_cleanly(tmp_path: Path) -> None:
    path = tmp_path / "deployments" / "31337.json"
    async with Devnet(DevnetOptions(deployments=path, fund=[POOR], balance=3 * ETHER)) as devnet:
        pid = devnet.pid
        assert await devnet.rpc.balance(POOR) == 3 * ETHER
        written = read_deployments(path, devnet.chain_id).registry
        assert written == devnet.registry
        await RegistryViews(devnet.rpc, written.address, devnet.chain_id).check()
        receipt = await devnet.rpc.receipt(written.transaction)
        assert receipt is not None
        assert receipt.block_number == written.block
    assert not _alive(pid)
    with pytest.raises(DevnetError):
        _ = devnet.rpc


async def test_the_tokens_are_there_too(tmp_path: Path) -> None:
    """On a devnet there is money always, an energy token where somebody is its registrar."""
    path = tmp_path / "31337.json"
    async with Devnet(DevnetOptions(deployments=path, registrar=POOR)) as devnet:
        written = read_deployments(path, devnet.chain_id)
        assert written == devnet.contracts
        energy, money = written.find("EnergyToken"), written.find("DevToken")
        answer = await devnet.rpc.call(energy.address, energy_token.encode_registrar())
        assert energy_token.decode_registrar(answer) == POOR
        answer = await devnet.rpc.call(energy.address, energy_token.encode_verifies_p256())
        assert energy_token.decode_verifies_p256(answer), "the devnet's chain verifies P-256"
        facts = {fact.name: fact.value for fact in await devnet.facts()}
        assert facts["energy token"] == address_to_text(energy.address)
        assert facts["energy registrar"] == address_to_text(POOR)
        assert facts["dev token"] == address_to_text(money.address)
        assert await deploy_energy_token(devnet.rpc, POOR, payer=POOR) == replace(
            energy, block=0, transaction=bytes(32)
        )


async def test_what_settles_trades_is_there_when_asked_for(tmp_path: Path) -> None:
    """The four contracts know each other and the money, and are in the deployments file."""
    path = tmp_path / "31337.json"
    async with Devnet(DevnetOptions(deployments=path, settlement=True)) as devnet:
        written = read_deployments(path, devnet.chain_id)
        assert written == devnet.contracts
        place = {name: written.find(name).address for name in ("Allowances", "Anchors", "Market", "NetSettlement")}
        money = written.find("DevToken").address
        answer = await devnet.rpc.call(place["Market"], market.encode_token())
        assert market.decode_token(answer) == money
        answer = await devnet.rpc.call(place["NetSettlement"], net_settlement.encode_anchors())
        assert net_settlement.decode_anchors(answer) == place["Anchors"]
        facts = {fact.name: fact.value for fact in await devnet.facts()}
        assert facts["market"] == address_to_text(place["Market"])
        assert facts["net settlement block"] == str(written.find("NetSettlement").block)
        found = await deploy_settlement(devnet.rpc, money, payer=POOR)
        assert {name: each.address for name, each in found.items()} == place


async def test_without_a_registrar_there_is_no_energy_token() -> None:
    async with Devnet() as devnet:
        assert set(devnet.contracts.contracts) == {"ConsentRegistry", "DevToken"}
        with pytest.raises(DeploymentError, match="EnergyToken"):
            devnet.contracts.find("EnergyToken")


async def test_each_fact_is_one_line() -> None:
    async with Devnet(DevnetOptions(fund=[POOR])) as devnet:
        facts = await devnet.facts()
        names = [fact.name for fact in facts]
        assert {"rpc", "chain id", "registry", "account"} <= set(names)
        assert all("\n" not in fact.name + fact.value for fact in facts)
        assert any(fact.value.startswith("0x7777") and fact.value.endswith("100 ETH") for fact in facts)


async def test_the_registry_has_the_same_address_on_every_devnet() -> None:
    async with Devnet() as one, Devnet(DevnetOptions(AnvilOptions(block_time=0))) as other:
        assert one.registry.address == other.registry.address
        assert one.url != other.url


async def test_a_kept_state_is_found_again(tmp_path: Path) -> None:
    options = DevnetOptions(AnvilOptions(state=tmp_path / "state.json"))
    async with Devnet(options) as first:
        address = first.registry.address
        await first.fund(POOR, 5)
    async with Devnet(options) as second:
        assert second.registry.address == address
        assert await second.rpc.balance(POOR) == 5


async def test_a_port_in_use_says_so() -> None:
    async with AnvilProcess(AnvilOptions()) as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(AnvilFailed, match=r"(?i)address|in use") as busy:
            await AnvilProcess(AnvilOptions(port=port)).start()
        assert busy.value.exit_code is ExitCode.NOT_REACHABLE


async def test_an_anvil_that_ends_by_itself_is_noticed() -> None:
    async with AnvilProcess(AnvilOptions()) as process:
        os.kill(process.pid, 9)
        with pytest.raises(AnvilFailed, match="ended by itself"):
            await process.wait()


async def test_a_program_that_is_not_anvil_does_not_hang(tmp_path: Path) -> None:
    fake = tmp_path / "anvil"
    fake.write_text("#!/bin/sh\necho no chain here; exit 3\n")
    fake.chmod(0o755)
    with pytest.raises(AnvilFailed, match="code 3"):
        await AnvilProcess(AnvilOptions(), binary=fake).start()
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(AnvilFailed, match="did not listen"):
        await AnvilProcess(AnvilOptions(), binary=fake).start(ready_within=0.3)


async def test_a_line_longer_than_any_buffer_does_not_stop_the_chain(tmp_path: Path) -> None:
    """What it says of a large batch that is refused has the whole batch in it."""
    fake, done = tmp_path / "anvil", tmp_path / "done"
    said = "print('Listening on 127.0.0.1:1', flush=True); print('x' * 3_000_000); print('last words', flush=True)"
    fake.write_text(f"#!{sys.executable}\n{said}\nopen({str(done)!r}, 'w')\n")
    fake.chmod(0o755)
    process = AnvilProcess(AnvilOptions(), binary=fake)
    await process.start()
    with pytest.raises(AnvilFailed, match="code 0"):
        await process.wait()
    await process.stop()
    assert done.exists()
    assert "last words" in process._last_lines()


def test_anvil_is_found_below_a_folder_of_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    binary = tmp_path / "node_modules" / "@foundry-rs" / "anvil-some-machine" / "bin" / "anvil"
    binary.parent.mkdir(parents=True)
    binary.write_text("")
    assert find_anvil([tmp_path]) == binary
    assert os.access(binary, os.X_OK), "npm without install scripts leaves the bit off"
    (tmp_path / "anvil").write_text("")
    (tmp_path / "anvil").chmod(0o755)
    assert find_anvil([tmp_path]) == tmp_path / "anvil", "an anvil on PATH is used first"
    (tmp_path / "anvil").write_text("#!/usr/bin/env node\n")
    assert find_anvil([tmp_path]) == binary, "but not a launcher, which can be killed without its chain"


def test_a_missing_anvil_names_the_remedy() -> None:
    error = AnvilMissing("anvil was found neither on PATH nor in node_modules/@foundry-rs")
    assert "make setup" in error.remedy
    assert error.exit_code is ExitCode.CONFIG
