"""A household of real processes set up from its pages alone: paired, its device added and registered (M-74)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.support.browser import DESKTOP, PHONE, chromium, visit
from tests.support.cluster import Cluster, Plan
from tests.support.nodes import NodeProcess
from tests.support.processes import PROGRAM, Process

pytestmark = [pytest.mark.long, pytest.mark.chain, pytest.mark.broker]


class Trading(Cluster):
    """Gateway, home, and `alpha` as the market."""

    async def _make(self, name: str) -> NodeProcess:
        settings = dict(self.plan.settings.get(name, {}))
        settings["settlement.market"] = "0x" + self.devnet.contracts.find("Market").address.hex()
        if name == "alpha":
            settings["node.roles"] = ("market",)
        self.plan = replace(self.plan, settings={**self.plan.settings, name: settings})
        return await super()._make(name)


async def link(node: NodeProcess) -> str:
    process = Process("open", (*PROGRAM, "--config", str(node.config), "open", "--json"), node.folder / "open.log")
    await process.start()
    assert await process.ended() == 0, process.said()
    url: str = json.loads(process.said())["url"]
    return url


async def test_m74_m75_m79_m86_from_the_code_of_a_gateway_to_an_asset_in_the_market(tmp_path: Path) -> None:
    async with Trading(tmp_path, Plan(money=True)) as cluster, chromium() as browser:
        market = cluster.nodes["alpha"]
        async with visit(browser, PHONE) as someone:
            page = someone.page
            await page.goto(await link(cluster.home))
            await page.get_by_role("link", name="Add a device").click()
            code = await cluster.gateway.post("/pairing/code")
            await page.get_by_label("Code, or the text of the QR code").fill(code["qr"])
            await page.get_by_role("button", name="Pair").click()
            # Nobody reloads anything: the form comes once the pairing is final.
            await page.get_by_label("URL of the market").fill(market.url)
            await page.get_by_label("Name").fill("Roof")
            await page.get_by_label("Energy price: the least it takes").fill("0.2")
            await page.get_by_role("button", name="Add device").click()
            await expect(page.get_by_role("heading", name="Roof")).to_be_visible()
            await expect(page.locator(".stat").filter(has_text="Transactions")).to_contain_text("0")
            (asset,) = await cluster.home.items("/assets")
            await expect(page.locator("main")).to_contain_text(asset["account"])
            assert (asset["offer_price"], asset["min_offer_wh"]) == (200_000, 1_000)
        async with visit(browser, DESKTOP) as someone:
            await someone.page.goto(await link(cluster.gateway))
            money = someone.page.locator("section", has=someone.page.get_by_role("heading", name="This asset's money"))
            await expect(money).to_contain_text("alpha")
            assert await someone.page.get_by_label("Main wallet").count() == 0, "that is the household's"
