"""A home and its gateway pair and part on their pages, both real processes (permissions.md 2)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import segno
from playwright.async_api import Browser, expect

from node.services.pairing.code import typed_text
from tests.e2e.conftest import Clusters
from tests.support.browser import DESKTOP, PHONE, chromium
from tests.support.cluster import Cluster, Plan
from tests.support.pagenodes import at

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker, pytest.mark.long]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    async with clusters(Plan(providers=())) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


async def test_permissions_2_paired_by_the_shown_code_and_unpaired(cluster: Cluster, browser: Browser) -> None:
    """Nobody reloads a page: both go on by themselves."""
    async with (
        at(browser, cluster.gateway, "pairing", DESKTOP) as device,
        at(browser, cluster.home, "pairing", PHONE) as person,
    ):
        here, home = device.page, person.page
        await here.get_by_role("button", name="Show a new code").click()
        text = await here.locator("code", has_text="WATTPACT-PAIR").inner_text()
        picture = here.get_by_role("img", name="QR code of the pairing")
        wanted = segno.make(text, micro=False).svg_data_uri(scale=4, border=4, dark="#000", light="#fff")
        assert await picture.get_attribute("src") == wanted
        assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        await expect(here.locator("main")).to_contain_text("5 tries are left")
        assert await device.barriers() == []
        await home.get_by_label("Code, or the text of the QR code").fill(
            typed_text(b"somebody else's secret".ljust(32))
        )
        await home.get_by_label("Address of the gateway").fill(cluster.gateway.url)
        await home.get_by_role("button", name="Pair").click()
        await expect(home.get_by_role("alert").locator("p")).to_have_count(2)  # a sentence, and what to do
        await expect(here.locator("main")).to_contain_text("4 tries are left")
        await expect(picture).to_be_visible()
        assert await person.barriers() == []
        assert await person.fits()
        await home.get_by_label("Code, or the text of the QR code").fill(text)
        await home.get_by_label("Address of the gateway").fill("")
        await home.get_by_role("button", name="Pair").click()
        for page, other in ((home, cluster.gateway.identity.device()), (here, cluster.home.identity.wallet())):
            await expect(page.get_by_role("heading", name="Paired", exact=True)).to_be_visible()
            await expect(page.locator("main")).to_contain_text("0x" + other.address.hex(), ignore_case=True)
        assert await person.barriers() == []
        assert await person.fits()
        await home.get_by_role("button", name="Unpair").click()
        dialog = home.get_by_role("dialog")
        await expect(dialog).to_contain_text("It acts at once")
        await dialog.get_by_role("button", name="Cancel").click()
        assert (await cluster.home.get("/pairing"))["state"] == "paired"
        await home.get_by_role("button", name="Unpair").click()
        await dialog.get_by_role("button", name="Unpair").click()
        await expect(home.get_by_role("heading", name="No gateway is paired")).to_be_visible()
        await expect(here.get_by_role("heading", name="Not paired")).to_be_visible()


async def test_who_may_only_look_is_shown_no_code(cluster: Cluster, browser: Browser) -> None:
    async with at(browser, cluster.gateway, "pairing", PHONE, "--scope", "read") as device:
        await expect(device.page.get_by_text("Pairing is for whoever may act.")).to_be_visible()
        assert await device.page.get_by_role("button", name="Show a new code").count() == 0
        assert await device.fits()


async def test_a_phone_finds_what_is_not_in_its_bar_behind_more(cluster: Cluster, browser: Browser) -> None:
    async with at(browser, cluster.home, "more", PHONE) as person:
        page = person.page
        bar = page.get_by_label("Pages", exact=True)
        await expect(bar.get_by_role("link", name="Pairing")).to_be_hidden()
        assert await person.barriers() == []
        assert await person.fits()
        await page.get_by_label("More pages").get_by_role("link", name="Pairing").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Pairing")
        await expect(bar.locator("[aria-current]:visible")).to_have_text("More")
