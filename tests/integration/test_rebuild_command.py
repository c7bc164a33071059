"""`wattpact rebuild` on a real chain: to the head, again from there, and anew with the former database put aside."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from node.app.main import command_line
from node.errors import ExitCode
from node.runtime.devnet.deploy import deploy_registry
from tests.support.anvil import anvil
from tests.support.fullchain import fill
from tests.support.nodes import NodeProcess, Surroundings

pytestmark = pytest.mark.chain


async def rebuild(node: NodeProcess, *words: str) -> dict[str, Any]:
    line = ["--config", str(node.config), "rebuild", "--json", *words]
    result = await asyncio.to_thread(CliRunner().invoke, command_line(), line)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout.splitlines()[-1]))


async def test_a_database_is_brought_to_the_head_and_made_anew(tmp_path: Path) -> None:
    async with anvil(block_time=0) as chain:
        registry = await deploy_registry(chain.rpc, payer=chain.signers[3].address)
        await fill(chain, registry.address, 100, 50)
        around = Surroundings(
            tmp_path, chain.url, chain.chain_id, "0x" + registry.address.hex(), registry.block, "mqtt://127.0.0.1:1"
        )
        node = NodeProcess("home", "home", around)
        node.init()
        first = await rebuild(node)
        assert (first["events"], first["former"]) == (140, None)
        assert (await rebuild(node))["events"] == 0
        unasked = await asyncio.to_thread(
            CliRunner().invoke, command_line(), ["--config", str(node.config), "rebuild", "--anew"]
        )
        assert unasked.exit_code == ExitCode.USAGE
        anew = await rebuild(node, "--anew", "--yes")
        assert anew["events"] == 140
        assert await asyncio.to_thread(Path(anew["former"]).exists)
