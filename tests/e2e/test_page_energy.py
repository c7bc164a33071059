"""Energy on the pages of a gateway, its household and their community, which are real processes: a meter becomes a
source, its readings mint, shares earn, and who used whose production is drawn."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.support.browser import DESKTOP, PHONE, Visit, chromium
from tests.support.energycluster import COMMUNITY, QUARTERS, EnergyCluster
from tests.support.pagenodes import at
from tests.support.processes import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

HOSTILE = 'Hill <img src=x onerror="document.title=1"><script>document.title=2</script>'
DAY = 86_400


@dataclass(slots=True)
class Place:
    cluster: EnergyCluster
    browser: Browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    cluster = EnergyCluster(tmp_path_factory.mktemp("energy"), HOSTILE)
    async with cluster, chromium() as browser:
        await cluster.begin()
        yield Place(cluster, browser)
        leaks = cluster.leaks()
    assert leaks == []


def section(page: Page, name: str) -> Locator:
    return page.locator("main section", has=page.get_by_role("heading", name=name, exact=True))


async def nobody_kept_out(someone: Visit) -> None:
    assert await someone.barriers() == []
    assert await someone.fits()


def kwh(wh: int) -> str:
    """As the pages write it."""
    whole, rest = divmod(wh, 1_000)
    return f"{whole:,}.{rest:03d}".rstrip("0").rstrip(".") + " kWh"


async def test_a_meter_becomes_a_source_mints_and_its_shares_are_claimed_and_sent(place: Place) -> None:
    cluster = place.cluster
    await _proposed(place)
    (asked,) = (await cluster.home.get("/energy"))["asked"]
    await _accepted(place, asked)
    await _approved(place, asked)
    async with at(place.browser, cluster.home, "energy", PHONE) as someone:
        await _claimed(cluster, someone)
        await _sent(cluster, someone)


async def _proposed(place: Place) -> None:
    """At the gateway; what is wrong with the form stands at its field."""
    cluster = place.cluster
    async with at(place.browser, cluster.gateway, "energy", PHONE) as someone:
        page = someone.page
        await expect(page.get_by_text("This meter is no source of energy yet.")).to_be_visible()
        assert await someone.fits()
        await page.get_by_role("button", name="Propose this meter").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("URL of the community's node").fill(cluster.community.url)
        power = dialog.get_by_label("Greatest power, kW")
        await power.fill("much")
        await dialog.get_by_role("button", name="Propose").click()
        await expect(power).to_have_attribute("aria-invalid", "true")
        await expect(power).to_be_focused()
        await expect(dialog.get_by_role("alert")).to_contain_text("The power is a number such as 12.5.")
        await nobody_kept_out(someone)
        await power.fill("20")
        await dialog.get_by_role("button", name="Propose").click()
        await expect(dialog).to_have_count(0)
        row = page.get_by_role("row").filter(has_text="This meter")
        await expect(row).to_contain_text("proposed, waits for its household")
        assert await someone.fits()

    async def arrived() -> bool:
        return bool((await cluster.home.get("/energy"))["asked"])

    await until("the proposal is at the home", arrived)


async def _accepted(place: Place, asked: dict[str, Any]) -> None:
    """From the overview on; what is signed is shown whole, and nothing else is signed."""
    home = place.cluster.home
    path = f"/energy/sources/{asked['source']}/accept"
    assert (await home.raw("POST", path, {"digest": "0x" + "0c" * 32})).status == 409
    assert (await home.get("/status"))["pending_sources"] == 1
    async with at(place.browser, home, "", PHONE) as someone:
        page = someone.page
        await page.get_by_role("link", name="A source of energy waits for your yes.").click()
        card = page.get_by_role("article")
        for words in ("Your gateway's meter", "this household", HOSTILE, "20 kW", "1,000,000, all to the owner",
                      asked["device"], str(asked["source"])):  # fmt: skip
            await expect(card).to_contain_text(words)
        await nobody_kept_out(someone)
        await card.get_by_role("button", name="Accept").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_text("What is signed, word for word").click()
        signed = asked["typed_data"]["message"]
        for words in ("RegisterSource", signed["nonce"], signed["owner"], asked["digest"]):
            await expect(dialog).to_contain_text(words)
        await nobody_kept_out(someone)
        await dialog.get_by_role("button", name="Accept").click()
        await expect(dialog).to_have_count(0)
        await expect(card).to_have_count(0)
        row = page.get_by_role("row").filter(has_text="Your gateway's meter")
        await expect(row).to_contain_text("accepted, waits for the community")
    assert (await home.get("/status"))["pending_sources"] == 0


async def _approved(place: Place, asked: dict[str, Any]) -> None:
    async with at(place.browser, place.cluster.community, "", DESKTOP) as someone:
        page = someone.page
        await page.get_by_role("link", name="Energy", exact=True).click()
        card = page.get_by_role("article")
        await expect(card).to_contain_text(asked["owner"])
        await card.get_by_role("button", name="Approve").click()
        await page.get_by_role("dialog").get_by_role("button", name="Approve").click()
        await expect(card).to_have_count(0)
        row = page.get_by_role("row").filter(has_text=f"Source {asked['source']}")
        await expect(row).to_contain_text("approved")
        await expect(row).to_contain_text("approved, mints")  # once the first reading came
        await nobody_kept_out(someone)


async def _claimed(cluster: EnergyCluster, someone: Visit) -> None:
    page, home = someone.page, cluster.home
    source = section(page, "Your sources").get_by_role("row").filter(has_text="Your gateway's meter")
    await expect(source).to_contain_text("number ")
    own = section(page, "Your energy")
    await expect(own).to_contain_text("1,000,000 of 1,000,000 (100.0 %)")
    await nobody_kept_out(someone)
    await own.get_by_role("button", name="Claim").click()
    await expect(own.get_by_text("claim on its way")).to_be_visible()
    claimed = own.locator(".stat").filter(has=page.get_by_text("Claimed", exact=True))

    async def as_told() -> bool:
        balance = (await home.get("/energy"))["balance_mwh"]
        return balance > 1_000 and kwh(balance // 1_000) in await claimed.inner_text()

    await until("the page shows what was claimed", as_told)
    assert await someone.fits()


async def _sent(cluster: EnergyCluster, someone: Visit) -> None:
    """Shares for the community; too many, or for nobody, is refused at the field."""
    page = someone.page
    await page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    own = section(page, "Your energy")
    await own.get_by_role("button", name="Send shares").click()
    dialog = page.get_by_role("dialog")
    receiver, shares = dialog.get_by_label("To the address"), dialog.get_by_label("Shares")
    other = (await cluster.community.get("/status"))["owner"]
    await receiver.fill(other.swapcase().replace("X", "x"))  # a checksum that is wrong
    await shares.fill("1000001")
    await page.keyboard.press("Enter")
    await expect(shares).to_have_attribute("aria-invalid", "true")
    await expect(dialog.get_by_role("alert")).to_contain_text("You hold 1,000,000 shares.")
    await shares.fill("250000")
    await page.keyboard.press("Enter")
    await expect(receiver).to_have_attribute("aria-invalid", "true")
    await expect(shares).not_to_have_attribute("aria-invalid", "true")
    await expect(dialog.get_by_role("alert")).to_contain_text("Correct the request and send it again.")
    await nobody_kept_out(someone)
    await receiver.fill(other)
    await page.keyboard.press("Enter")
    await expect(dialog).to_have_count(0)
    await expect(own).to_contain_text("750,000 of 1,000,000 (75.0 %)")


async def test_flows_of_a_community_are_drawn_and_their_figures_are_the_interfaces(place: Place) -> None:
    cluster = place.cluster
    day, midnight = time.strftime("%Y-%m-%d", time.gmtime(cluster.genesis)), cluster.genesis // DAY * DAY
    path, last = f"/energy/flows?from={midnight}&to={midnight + DAY}", dict[str, Any]()

    async def whole() -> bool:
        nonlocal last
        before, last = last, await cluster.community.get(f"{path}&by=day&pairs=yes")
        return bool(last == before and last["units"] == 2 and last["items"] and last["items"][0]["pairs"])

    async with at(place.browser, cluster.community, "energy", PHONE) as someone:
        page = someone.page
        await expect(section(page, "Your energy")).to_contain_text("250,000 of 1,000,000 (25.0 %)")
        flows = section(page, "Energy flows (kWh)")
        await expect(flows).to_contain_text("No member lets this community read its quarter hours yet.")
        assert await someone.fits()
        for home in ("home", "neighbour"):
            await cluster.grant(COMMUNITY, wait=False, of=home, streams=[QUARTERS])
        await until("the community reads the past of both", whole, every=2)
        for width, height in (PHONE, DESKTOP):
            await page.set_viewport_size({"width": width, "height": height})
            await page.reload()
            await flows.get_by_label("Day, or a day of the month").fill(day)
            await flows.get_by_text("Figures").click()
            await _as_the_interface_says(cluster, flows, path)
            await nobody_kept_out(someone)
            await flows.get_by_label("Day or month").select_option("Month")
            await expect(flows.locator("svg text").filter(has_text=f"{day[:7]}-01")).to_be_visible()
            assert await someone.fits()


async def _as_the_interface_says(cluster: EnergyCluster, flows: Locator, path: str) -> None:
    """Totals, who used whose, and the figures of every quarter hour. Readings go on, so both are looked at until they
    agree."""
    names = ("produced_wh", "consumed_wh", "green_wh", "import_wh", "export_wh")
    await expect(flows.get_by_role("img", name="Energy flows of the community").locator("rect")).not_to_have_count(0)

    async def agree() -> bool:
        (row,) = await cluster.community.items(f"{path}&by=day&pairs=yes")
        quarters = await cluster.community.items(f"{path}&by=quarter")
        text, rows = await flows.inner_text(), await flows.locator("details tbody tr").all()
        pair = row["pairs"][0]
        wanted = [kwh(row[name]) for name in names]
        wanted += [kwh(pair["wh"]), pair["producer"][:10], pair["consumer"][:10]]
        shown = [(await each.locator("td").all_inner_texts())[1:] for each in rows]
        return all(words in text for words in wanted) and shown == [
            [kwh(each[name]) for name in names] for each in quarters
        ]

    await until("the page shows the figures of the interface", agree)


async def test_who_may_only_look_is_offered_no_deed_and_what_fails_is_said(place: Place) -> None:
    """And where no token is followed there is no such page."""

    async def down(route: Route) -> None:
        await route.abort()

    async def without(route: Route) -> None:
        status = await (await route.fetch()).json()
        await route.fulfill(json={**status, "energy_token": None})

    async with at(place.browser, place.cluster.home, "", DESKTOP, "--scope", "read") as someone:
        page = someone.page
        await page.route("**/api/v1/energy", down)
        await page.get_by_role("link", name="Energy", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("The node does not answer.")
        await page.unroute("**/api/v1/energy")
        await expect(section(page, "Your energy")).to_contain_text("1,000,000 (")
        await expect(page.get_by_role("alert")).to_have_count(0)
        for deed in ("Claim", "Send shares"):
            assert await page.get_by_role("button", name=deed).count() == 0
        await page.route("**/api/v1/status", without)
        await page.reload()
        await expect(page.get_by_role("link", name="Overview")).to_be_visible()
        await expect(page.get_by_role("link", name="Energy", exact=True)).to_have_count(0)
