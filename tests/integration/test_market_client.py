"""A market node as a real process on a real chain, and two assets of third parties: one by the library, one an example.

M-85: they have no node of their own, no open port, and settle with nothing but their keys. What was delivered is in the
market's statement afterwards.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sys
import time
from pathlib import Path

import pytest

from contracts.bindings import dev_token
from keys.signers import LocalSigner
from node.client.errors import MarketRefused
from node.client.market import MarketClient
from node.errors import NodeUnreachable, Refused
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from node.wire.desk import DeskContract
from tests.support.nodes import NodeProcess, Surroundings
from tests.support.processes import PATIENCE, free_port, until

pytestmark = [pytest.mark.chain]

MONEY = 5_000_000
EXAMPLE = Path(__file__).parents[2] / "node" / "client" / "examples" / "price_follower.py"
SELLER, BUYER = LocalSigner(b"\x51" * 32), LocalSigner(b"\x52" * 32)


def test_the_example_is_forty_lines_of_code() -> None:
    lines = EXAMPLE.read_text().split('"""', 2)[2].splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith(('"""', "#"))]
    assert len(code) <= 40, len(code)


async def market_node(root: Path, devnet: Devnet) -> NodeProcess:
    address = {name: "0x" + devnet.contracts.find(name).address.hex() for name in ("Market",)}
    around = Surroundings(
        root, devnet.url, devnet.chain_id, "0x" + devnet.registry.address.hex(), 0, f"mqtt://127.0.0.1:{free_port()}"
    )
    settings: dict[str, object] = {
        "settlement.market": address["Market"], "api.open_calls_per_minute": 100_000, "chain.finality_depth": 1,
        "market.dispute_window_s": 2,
    }  # fmt: skip
    node = NodeProcess("market", "market", around, settings)
    node.init()
    await devnet.fund(node.sender().address)
    return node


async def give(devnet: Devnet, account: bytes) -> None:
    money = devnet.contracts.find("DevToken").address
    call = {
        "from": "0x" + (await devnet.payer()).hex(), "to": "0x" + money.hex(),
        "data": "0x" + dev_token.encode_mint(account, MONEY).hex(),
    }  # fmt: skip
    await devnet.rpc.request("eth_sendTransaction", [call])


def meter(contract: DeskContract) -> int | None:
    """The seller makes 50 Wh less than agreed; the buyer claims to have used all: the smaller figure counts (A-10)."""
    return contract.wh - 50 if time.time() >= contract.end else None


async def ready(url: str, contract: bytes, chain_id: int) -> MarketClient:
    """The terms stand on chain some blocks after the start; an order before that would be for nobody."""
    client = MarketClient(url, SELLER, chain_id, contract)

    async def found() -> bool:
        try:
            await client.__aenter__()
        except (Refused, NodeUnreachable):
            return False
        return True

    await until("the market shows its terms", found)
    return client


async def test_m85_two_assets_without_a_node_trade_by_the_library(tmp_path: Path) -> None:
    options = DevnetOptions(AnvilOptions(block_time=1), settlement=True)
    async with Devnet(options) as devnet:
        node = await market_node(tmp_path, devnet)
        contract = devnet.contracts.find("Market").address
        await give(devnet, BUYER.address)
        begun = time.monotonic()
        await node.start()
        # The buyer's program has to begin, too, before the energy flows: it gets as long as this machine makes a start.
        ahead = max(20, int(4 * (time.monotonic() - begun)))
        seller = await ready(node.url, contract, devnet.chain_id)
        try:
            start = int(time.time()) + ahead
            end = start + 4
            signal = tmp_path / "signal.json"
            signal.write_text(json.dumps([
                {"start": start + 3_600, "end": end + 3_600, "price": 400_000},
                {"start": start, "end": end, "price": 250_000},
            ]))  # fmt: skip
            config = tmp_path / "config.json"
            config.write_text(json.dumps({
                "url": node.url, "key": "0x" + BUYER.to_bytes().hex(), "chain_id": devnet.chain_id,
                "contract": "0x" + contract.hex(), "wh": 1_200, "signal": str(signal),
            }))  # fmt: skip
            follower = await asyncio.create_subprocess_exec(
                sys.executable, str(EXAMPLE), str(config), cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={"PYTHONPATH": str(EXAMPLE.parents[3]), "PATH": "/usr/bin:/bin"},
            )  # fmt: skip
            await seller.offer(800, 200_000, start, end)
            await seller.offer(700, 220_000, start, end)
            statuses: dict[bytes, str] = {}

            async def over() -> bool:
                statuses.update({each.id: each.status for each in await seller.settle(meter)})
                return list(statuses.values()) == ["confirmed"] * 2 and not seller.contracts

            await until(f"both contracts are confirmed: {statuses}", over)
            said = (await asyncio.wait_for(follower.communicate(), PATIENCE))[0].decode()
            assert follower.returncode == 0, said
            assert "asked for 1200 Wh at 250000" in said
            await check_statement(node, start)
            await refusals(node, seller, devnet.chain_id, contract, start)
        finally:
            await seller.__aexit__(None, None, None)
            await node.process.end()


async def check_statement(node: NodeProcess, start: int) -> None:
    """800 Wh less 50 at 0.2, 400 Wh less 50 at 0.22; the invoices of both sides cancel out."""
    span = f"from={start}&to={start + 1}"

    async def complete() -> bool:
        return bool((await node.get(f"/market/statement?{span}"))["contracts"] == 2)

    await until("the statement has both contracts", complete)
    found = await node.get(f"/market/statement?{span}")
    assert found["balance"] == 0
    totals = {invoice["party"].lower(): invoice["total"] for invoice in found["invoices"]}
    earned = 750 * 200_000 // 1000 + 350 * 220_000 // 1000
    assert earned <= totals["0x" + SELLER.address.hex()] <= earned + 1
    assert totals["0x" + SELLER.address.hex()] + totals["0x" + BUYER.address.hex()] == 0
    text = (await node.raw("GET", f"/market/statement/export?{span}")).body.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted((row["kind"], row["energy_kwh"]) for row in rows) == [
        ("energy", "0.350"), ("energy", "0.750"), ("shortfall", "0.050"), ("shortfall", "0.050"),
    ]  # fmt: skip


async def refusals(node: NodeProcess, seller: MarketClient, chain_id: int, contract: bytes, start: int) -> None:
    """Another contract, another operator, a question signed by somebody else, an order of yesterday."""
    with pytest.raises(Refused, match="another contract"):
        async with MarketClient(node.url, SELLER, chain_id, b"\x01" * 20):
            pass
    with pytest.raises(Refused, match="another operator"):
        async with MarketClient(node.url, SELLER, chain_id, contract, operator=b"\x02" * 20):
            pass
    with pytest.raises(Refused, match="not signed by the account"):
        async with MarketClient(node.url, SELLER, chain_id + 1, contract):
            pass
    before = dict(seller._orders._orders)
    with pytest.raises(MarketRefused) as refused:
        await seller.offer(100, 1, int(time.time()) + 5, int(time.time()) + 6, until=start - 3_600)
    assert refused.value.remote_code == "invalid_input"
    assert isinstance(refused.value.proof, dict)
    assert seller._orders._orders == before, "what the market refused stands no more"
