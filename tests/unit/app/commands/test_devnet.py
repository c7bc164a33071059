"""Part 3: `wattpact devnet`: one line of output per fact, the same as JSON, a clean stop."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from node.app.commands.devnet import run_devnet
from node.cli.factories import DevnetOptions
from node.clock import SystemClock
from node.errors import ConfigError, UsageError
from node.ledger.rpc import Rpc
from node.ledger.views import RegistryViews
from node.types import address_from_text
from tests.unit.app.commands.processes import is_alive, wattpact

pytestmark = pytest.mark.chain


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_facts_are_lines_and_json_and_the_stop_is_clean(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "facts" / "devnet.json"
    async with wattpact("devnet", "--port", "0", "--out", str(out), cwd=tmp_path) as started:
        url = await started.until("rpc: ")
        registry = await started.until("registry: ")
        pid = int(await started.until("anvil process: "))
        account = (await started.until("account: ")).split()[0]
        facts = json.loads(out.read_text())
        assert (facts["rpc"], facts["registry"], facts["anvil_process"]) == (url, registry, pid)
        assert facts["chain_id"] == 31337
        assert facts["accounts"][0] == account
        assert len(facts["accounts"]) == 10
        async with Rpc([url], facts["chain_id"], SystemClock()) as rpc:
            await RegistryViews(rpc, address_from_text(registry), facts["chain_id"]).check()
            for text in facts["accounts"]:
                assert await rpc.balance(address_from_text(text)) > 0
        assert is_alive(pid)
        assert await started.end(number) == 0
    assert started.lines[-1] == "stopped"
    assert not is_alive(pid)


async def test_a_chain_that_ends_by_itself_ends_the_command(tmp_path: Path) -> None:
    async with wattpact("devnet", "--port", "0", cwd=tmp_path) as started:
        pid = int(await started.until("anvil process: "))
        await started.until("account: ")
        os.kill(pid, signal.SIGKILL)
        _, err = await started.process.communicate()
    assert started.process.returncode == 4
    assert b"anvil ended by itself" in err


def test_a_file_that_cannot_be_written_is_named_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        run_devnet(DevnetOptions(port=0, out=tmp_path / "file" / "devnet.json"))


@pytest.mark.parametrize("registrar", ["community", "0x12", "0x0A3Bbf8f5DAf3bFeC56942f8c47F43b4916925fc"])
def test_a_registrar_that_is_no_address_is_a_usage_error(registrar: str) -> None:
    with pytest.raises(UsageError, match="--registrar is no address"):
        run_devnet(DevnetOptions(port=0, registrar=registrar))


async def test_test_ether_is_given_on_a_devnet_and_nowhere_else(tmp_path: Path) -> None:
    """A newcomer's sender needs gas: no other program than ours is to be needed for it."""
    account = "0x" + "5e" * 20
    async with wattpact("devnet", "--port", "0", cwd=tmp_path) as started:
        url = await started.until("rpc: ")
        async with wattpact("test-ether", account, "--rpc-url", url, cwd=tmp_path) as giving:
            assert await giving.process.wait() == 0
        async with Rpc([url], 31337, SystemClock()) as rpc:
            assert await rpc.balance(address_from_text(account)) == 100 * 10**18
        async with wattpact("test-ether", "0x12", "--rpc-url", url, cwd=tmp_path) as wrong:
            _, err = await wrong.process.communicate()
            assert wrong.process.returncode == 2
            assert b"0x12 is no address" in err
        assert await started.end(signal.SIGTERM) == 0
    async with wattpact("test-ether", account, "--rpc-url", url, cwd=tmp_path) as late:
        _, err = await late.process.communicate()
        assert late.process.returncode == 4, err
