"""A household of real processes set up from its pages alone: paired, its device added and registered (M-74)."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.support.browser import DESKTOP, PHONE, chromium, visit
from tests.support.cluster import Plan
from tests.support.pagenodes import link
from tests.support.tradecluster import Trading

pytestmark = [pytest.mark.long, pytest.mark.chain, pytest.mark.broker]


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
