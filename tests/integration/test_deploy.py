"""scripts/deploy on a real chain: what it shows, what it does, how it goes on, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.artifact import load_artifact, verify_runtime_code
from contracts.create2 import DEPLOYMENT_PROXY, PROXY_RUNTIME_CODE, create2_address, deployment_call
from contracts.deployments import read_deployments
from keys.files import create_file
from keys.keystore import WALLET, Keystore
from keys.signers import LocalSigner
from node.clock import SystemClock
from node.errors import ExitCode
from node.ledger.rpc import Rpc
from node.runtime.deployment.plan import DEVNET_CHAIN, NAMES, Order, make_plan
from node.runtime.deployment.survey import PROXY_FUNDING, PROXY_SIGNER, PROXY_TRANSACTION
from node.runtime.devnet.anvil import AnvilOptions, AnvilProcess
from node.types import address_from_text, address_to_text, to_hex
from scripts.deploying import ROOT, main
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.chain
REGISTRAR = "0x" + "77" * 20
ALL = ["--contracts", ",".join(NAMES), "--registrar", REGISTRAR]


@dataclass
class World:
    url: str
    rpc: Rpc
    out: Path
    signer: LocalSigner

    def line(self, *more: str) -> list[str]:
        key = to_hex(self.signer.to_bytes())
        always = ["--rpc-url", self.url, "--out", str(self.out), "--confirmations", "0", "--timeout", "60"]
        return [*always, *([] if "--signer" in more else ["--signer", f"memory:{key}"]), *more]

    async def run(self, *more: str) -> int:
        # A thread of its own, because the command has its own event loop.
        return await asyncio.to_thread(main, self.line(*more))

    async def nonce(self) -> int:
        return await self.rpc.nonce(self.signer.address)

    async def fund(self, wei: int = 10**20) -> None:
        await self.rpc.request("anvil_setBalance", [address_to_text(self.signer.address), hex(wei)])

    async def set_code(self, address: bytes, code: bytes) -> None:
        await self.rpc.request("anvil_setCode", [address_to_text(address), to_hex(code)])


@asynccontextmanager
async def world(out: Path, options: AnvilOptions | None = None) -> AsyncIterator[World]:
    anvil = AnvilProcess(options or AnvilOptions(block_time=None))
    await anvil.start()
    try:
        chain_id = anvil.options.chain_id
        async with Rpc([anvil.url], chain_id, SystemClock()) as rpc:
            made = World(anvil.url, rpc, out, LocalSigner.generate())
            await made.fund()
            yield made
    finally:
        await anvil.stop()


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "deployments.json") as made:
        yield made


async def check_all(chain: World) -> None:
    found = read_deployments(chain.out, DEVNET_CHAIN)
    assert set(found.contracts) == set(NAMES)
    for name, entry in found.contracts.items():
        verify_runtime_code(await chain.rpc.code(entry.address), name)
        receipt = await chain.rpc.receipt(entry.transaction)
        assert receipt is not None, name
        assert receipt.ok, name
        assert receipt.block_number == entry.block, name


async def test_a_dry_run_shows_addresses_gas_and_cost_and_changes_nothing(
    chain: World, capsys: pytest.CaptureFixture[str]
) -> None:
    height = (await chain.rpc.head()).number
    assert await chain.run(*ALL, "--dry-run", "--json") == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    assert (await chain.rpc.head()).number == height
    assert await chain.nonce() == 0
    assert not chain.out.exists()
    assert [each["name"] for each in shown["contracts"]] == list(NAMES)
    assert not any(each["deployed"] for each in shown["contracts"])
    assert shown["gas"] == sum(each["gas"] for each in shown["contracts"]) > 10_000_000
    assert int(shown["cost_wei"]) == shown["gas"] * int(shown["fee_wei"])
    assert int(shown["balance_wei"]) == 10**20
    assert shown["missing_wei"] == "0"

    assert await chain.run(*ALL) == ExitCode.OK
    spent = {}
    found = read_deployments(chain.out)
    for each in shown["contracts"]:
        entry = found.contracts[each["name"]]
        assert entry.address == address_from_text(each["address"])
        receipt = await chain.rpc.receipt(entry.transaction)
        assert receipt is not None
        spent[each["name"]] = receipt.gas_used
    # What is asked of the chain is right; what cannot be asked yet is never too little, and not absurd.
    for each in shown["contracts"]:
        assert spent[each["name"]] <= each["gas"] <= spent[each["name"]] * 12 // 10, each
    assert not next(each for each in shown["contracts"] if each["name"] == "Allowances")["estimated"]


async def test_everything_is_deployed_once_and_a_second_run_changes_nothing(
    chain: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await chain.run(*ALL) == ExitCode.OK
    await check_all(chain)
    written, nonce = chain.out.read_bytes(), await chain.nonce()
    assert nonce == len(NAMES)
    capsys.readouterr()
    assert await chain.run(*ALL, "--json") == ExitCode.OK
    assert chain.out.read_bytes() == written
    assert await chain.nonce() == nonce
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["contracts"]) == len(NAMES)
    assert to_hex(chain.signer.to_bytes())[2:] not in captured.out + captured.err


async def test_what_no_file_speaks_of_is_found_with_its_block_and_transaction(chain: World) -> None:
    """A run that is killed between the block and the file leaves no trace but the contract itself."""
    assert await chain.run("--contracts", "ConsentRegistry,Anchors") == ExitCode.OK
    await chain.rpc.request("anvil_mine", ["0x5"])
    written = chain.out.read_bytes()
    chain.out.unlink()
    assert await chain.run("--contracts", "ConsentRegistry,Anchors") == ExitCode.OK
    assert chain.out.read_bytes() == written
    assert await chain.nonce() == 2


async def test_a_killed_run_goes_on_and_sends_nothing_twice(tmp_path: Path) -> None:
    async with world(tmp_path / "deployments.json", AnvilOptions(block_time=0.5)) as chain:
        script = str(ROOT / "scripts" / "deploy")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            script,
            *chain.line(*ALL),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                while not chain.out.exists():
                    assert process.returncode is None, "it ended before it was killed"
                    await asyncio.sleep(0.02)
        finally:
            process.kill()
            await process.wait()
        before = read_deployments(chain.out).contracts
        assert 0 < len(before) < len(NAMES)
        assert await chain.run(*ALL) == ExitCode.OK
        await check_all(chain)
        after = read_deployments(chain.out).contracts
        assert {name: after[name] for name in before} == dict(before)
        assert await chain.nonce() == len(NAMES)


async def test_what_an_earlier_run_left_in_the_pool_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path / "deployments.json", AnvilOptions(block_time=0)) as chain:
        assert await chain.run("--timeout", "1") == ExitCode.NOT_REACHABLE
        assert "ConsentRegistry is in no block" in capsys.readouterr().err
        assert await chain.rpc.nonce(chain.signer.address, at="pending") == 1
        assert await chain.run("--timeout", "1") == ExitCode.NOT_REACHABLE
        assert "is waiting" in capsys.readouterr().err
        assert await chain.rpc.nonce(chain.signer.address, at="pending") == 1
        assert not chain.out.exists()
        await chain.rpc.request("evm_mine", [])
        assert await chain.run() == ExitCode.OK
        assert await chain.nonce() == 1
        receipt = await chain.rpc.receipt(read_deployments(chain.out).registry.transaction)
        assert receipt is not None
        assert receipt.block_number == read_deployments(chain.out).registry.block


async def test_a_person_reads_the_dry_run(chain: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert await chain.run("--contracts", "Anchors") == ExitCode.OK
    await chain.fund(10**9)
    capsys.readouterr()
    assert await chain.run("--contracts", "ConsentRegistry,Anchors", "--dry-run") == ExitCode.OK
    told = capsys.readouterr().out
    registry, anchors = (address_to_text(deployment_call(name).address) for name in ("ConsentRegistry", "Anchors"))
    assert f"{anchors}  is there, verified" in told
    assert f"{registry}  " in told
    assert f"balance          0.000000001 ether of {address_to_text(chain.signer.address)}" in told
    assert "missing " in told
    assert "total " in told


async def test_refusals_that_come_before_anything_is_sent(
    chain: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refused(code: ExitCode, words: str, *more: str) -> None:
        assert await chain.run(*more) == code
        told = capsys.readouterr().err
        assert words in told
        assert to_hex(chain.signer.to_bytes())[2:] not in told
        assert await chain.nonce() == 0

    await refused(ExitCode.CONFIG, "serves chain 31337, not 1", "--chain-id", "1")
    await refused(ExitCode.USAGE, "--registrar", "--contracts", "EnergyToken")
    await refused(ExitCode.USAGE, "--token", "--contracts", "Market")
    await refused(ExitCode.USAGE, "Unknown contracts: Markt", "--contracts", "Markt")
    await refused(ExitCode.USAGE, "checksum", "--registrar", "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
    await refused(ExitCode.USAGE, "withdraw wait", *ALL, "--withdraw-wait-days", "4")
    await refused(ExitCode.REFUSED, "no contract at", "--token", REGISTRAR)
    chain.out.write_text(json.dumps({"version": 1, "chain_id": 5, "contracts": {}}))
    await refused(ExitCode.CONFIG, "is of chain 5")
    chain.out.write_text("{")
    await refused(ExitCode.CONFIG, "not a deployment file")
    chain.out.unlink()
    await chain.fund(10**12)
    await refused(ExitCode.NEEDS_PERSON, address_to_text(chain.signer.address))
    assert not chain.out.exists()
    assert await chain.run("--dry-run", "--json") == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    assert int(shown["missing_wei"]) == int(shown["needed_wei"]) - 10**12 > 0


async def test_foreign_code_at_an_address_of_ours_is_refused(chain: World, capsys: pytest.CaptureFixture[str]) -> None:
    place = deployment_call("Anchors").address
    await chain.set_code(place, load_artifact("DevToken").runtime_code)
    for mode in ([], ["--dry-run"]):
        assert await chain.run("--contracts", "ConsentRegistry,Anchors", *mode) == ExitCode.REFUSED
        assert address_to_text(place) in capsys.readouterr().err
    assert await chain.nonce() == 0
    assert not chain.out.exists()


async def test_another_registrar_under_the_right_code_is_refused(
    chain: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """The registrar is an immutable, which the comparison of code leaves out: the contract itself is asked."""
    assert await chain.run("--contracts", "EnergyToken", "--registrar", "0x" + "66" * 20) == ExitCode.OK
    theirs = await chain.rpc.code(read_deployments(chain.out).find("EnergyToken").address)
    assert await chain.run("--contracts", "EnergyToken", "--registrar", REGISTRAR) == ExitCode.REFUSED
    assert "has EnergyToken at" in capsys.readouterr().err  # the file is of the other one
    chain.out.unlink()
    assert await chain.run("--contracts", "EnergyToken", "--registrar", REGISTRAR) == ExitCode.OK
    await chain.set_code(read_deployments(chain.out).find("EnergyToken").address, theirs)
    assert await chain.run("--contracts", "EnergyToken", "--registrar", REGISTRAR) == ExitCode.REFUSED
    assert "registrar is not what was ordered" in capsys.readouterr().err


async def test_a_missing_proxy_is_named_and_what_is_said_puts_it_there(
    chain: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await chain.set_code(DEPLOYMENT_PROXY, b"")
    await chain.rpc.request("anvil_setNonce", [address_to_text(DEPLOYMENT_PROXY), "0x0"])
    await chain.rpc.request("anvil_setNonce", [address_to_text(PROXY_SIGNER), "0x0"])
    assert await chain.run() == ExitCode.NEEDS_PERSON
    told = capsys.readouterr().err
    assert to_hex(PROXY_TRANSACTION) in told
    assert address_to_text(PROXY_SIGNER) in told
    await chain.rpc.request("anvil_setBalance", [address_to_text(PROXY_SIGNER), hex(PROXY_FUNDING)])
    sent = await chain.rpc.send_raw(PROXY_TRANSACTION)
    async with asyncio.timeout(PATIENCE):
        while await chain.rpc.receipt(sent) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert await chain.rpc.code(DEPLOYMENT_PROXY) == PROXY_RUNTIME_CODE
    assert await chain.run() == ExitCode.OK
    await chain.set_code(DEPLOYMENT_PROXY, b"\x00")
    assert await chain.run() == ExitCode.REFUSED


async def test_money_that_anybody_makes_and_keys_on_the_command_line_stay_on_devnets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path / "deployments.json", AnvilOptions(block_time=None, chain_id=100)) as chain:
        assert await chain.run("--contracts", "DevToken") == ExitCode.USAGE
        assert "anybody can make" in capsys.readouterr().err
        assert await chain.run() == ExitCode.CONFIG
        assert "command line" in capsys.readouterr().err
        create_file(tmp_path / "secret", b"right words\n")
        keystore = Keystore.create(tmp_path / "keystore", "right words")
        keystore.put("deployer", WALLET, chain.signer.to_bytes())
        keystore.close()
        stored = ["--keystore", str(tmp_path / "keystore"), "--signer", "keystore:deployer"]
        assert await chain.run(*stored) == ExitCode.CONFIG
        assert "WATTPACT_DEPLOY_PASSPHRASE" in capsys.readouterr().err
        monkeypatch.setenv("WATTPACT_DEPLOY_PASSPHRASE", "wrong words")
        assert await chain.run(*stored) == ExitCode.REFUSED
        assert await chain.run(*stored, "--passphrase-file", str(tmp_path / "secret")) == ExitCode.OK
        told = capsys.readouterr()
        assert "right words" not in told.out + told.err
        assert "wrong words" not in told.out + told.err
        assert read_deployments(chain.out, 100).registry.address == deployment_call().address


async def test_fees_above_the_cap_and_a_silent_node(chain: World, capsys: pytest.CaptureFixture[str]) -> None:
    await chain.rpc.request("anvil_setNextBlockBaseFeePerGas", [hex(40 * 10**9)])
    await chain.rpc.request("evm_mine", [])
    assert await chain.run("--max-fee-gwei", "30") == ExitCode.BUSY
    assert "--max-fee-gwei" in capsys.readouterr().err
    nobody = ["--rpc-url", "http://127.0.0.1:9/key-in-the-path"]
    assert await chain.run(*nobody) == ExitCode.NOT_REACHABLE
    told = capsys.readouterr().err
    assert "--rpc-url" in told
    assert "key-in-the-path" not in told


def test_a_mistyped_option_repeats_no_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--rpc-url", "http://127.0.0.1:9", "--siner", "memory:0x" + "1f" * 32])
    assert ended.value.code == ExitCode.USAGE
    assert "1f" * 32 not in capsys.readouterr().err


def test_addresses_depend_on_the_order_alone() -> None:
    order = Order(("Allowances",), token=b"\x05" * 20, salt=b"\x01" * 32)
    here = {step.name: step.call.address for step in make_plan(order, 1)}
    there = {step.name: step.call.address for step in make_plan(order, 100)}
    assert here == there
    assert list(here) == ["Anchors", "Market", "Allowances"]
    anchors = load_artifact("Anchors").creation_code
    assert here["Anchors"] == create2_address(b"\x01" * 32, anchors)
