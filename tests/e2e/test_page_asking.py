"""A provider asks a household for consent on its pages, and the household answers on its own; all real processes."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.e2e.conftest import Clusters
from tests.support.browser import DESKTOP, PHONE, Visit, chromium
from tests.support.cluster import RAW, Cluster, Plan
from tests.support.pagenodes import at

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

QUARTERS = "electricity/15min"
HOSTILE = 'Advice <img src=x onerror="document.title=1"><script>document.title=2</script>'
DAY = 86_400
NOBODY = "http://127.0.0.1:1"
ADDRESS, PURPOSE = "Address of the home", "Purpose"
HOME = 'Number 7 <img src=x onerror="document.title=3">'
AWAY = "away"
REACH = """addresses => import('./pages/reached.js').then(({ whoReaches }) => addresses.map(whoReaches))"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    named: dict[str, dict[str, object]] = {
        "beta": {"node.contact": "ask@beta.example", "node.policy_url": "https://beta.example/privacy"}
    }
    named |= {"home": {"node.name": HOME}, AWAY: {"node.outbound_only": True}}
    plan = Plan(providers=("beta",), households=(AWAY,), streams=(RAW, QUARTERS), settings=named)
    async with clusters(plan) as made:
        await made.pair(live=False)
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


def stamp(seconds: float) -> str:
    """As a field of the kind datetime-local takes it, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M", time.gmtime(seconds))


def part(page: Page, heading: str) -> Locator:
    return page.locator("section", has=page.get_by_role("heading", name=heading, exact=True))


async def opened(someone: Visit) -> Locator:
    await someone.page.get_by_role("button", name="Ask for consent").click()
    return someone.page.get_by_role("dialog", name="Ask for consent")


async def asked(cluster: Cluster) -> list[dict[str, Any]]:
    return await cluster.nodes["beta"].items("/requests")


async def test_permissions_1_asked_on_one_page_granted_on_another_and_seen_on_both(
    cluster: Cluster, browser: Browser
) -> None:
    """Nobody reloads a page. Of two presses of the button one asks."""
    before = len(await asked(cluster))
    async with (
        at(browser, cluster.nodes["beta"], "consents", DESKTOP) as asker,
        at(browser, cluster.home, "consents", PHONE) as person,
    ):
        dialog = await opened(asker)
        form = asker.page.get_by_role("dialog").locator("form")
        assert await asker.barriers() == []
        place = person.page.locator(".reached")
        await expect(place).to_contain_text("Only programs on this machine reach that address.")
        await expect(place).to_contain_text("node.public_url")
        assert await place.locator("code").first.inner_text() == cluster.home.url
        assert await person.barriers() == []
        assert await person.fits()
        await dialog.get_by_label(ADDRESS).fill(f" {cluster.home.url}/ ")
        await dialog.get_by_label(PURPOSE, exact=True).fill(HOSTILE)
        await dialog.get_by_label("electricity, every second").check()
        end = int(time.time()) // 60 * 60 + 30 * DAY
        await dialog.get_by_label("Until").fill(stamp(end))
        shown = dialog.locator("details")
        for words in (HOSTILE, "electricity, every second", "ask@beta.example", stamp(end).replace("T", " "), "beta"):
            await expect(shown).to_contain_text(words)
        await expect(form).to_contain_text("Time (UTC)")
        await dialog.get_by_role("button", name="Ask").dblclick()
        await expect(dialog).to_have_count(0)
        row = part(asker.page, "Asked by this node").get_by_role("row").filter(has_text=HOSTILE)
        owner = (await cluster.home.get("/status"))["owner"]
        for words in ("electricity/15min, electricity/1s", stamp(end).replace("T", " "), "asked", HOME, owner[:10]):
            await expect(row).to_contain_text(words)
        assert await asker.barriers() == []
        assert len(await asked(cluster)) == before + 1
        card = person.page.get_by_role("article", name="Request of beta").filter(has_text=HOSTILE)
        for words in ("ask@beta.example", "https://beta.example/privacy", stamp(end).replace("T", " ")):
            await expect(card).to_contain_text(words)
        await card.get_by_role("button", name="Grant").click()
        await person.page.get_by_role("dialog").get_by_role("button", name="Grant").click()
        for page, heading in ((person.page, "Granted"), (asker.page, "Granted to this node")):
            granted = part(page, heading).get_by_role("row").filter(has_text=HOSTILE)
            await expect(granted).to_contain_text("live")
        await expect(row).to_have_count(0)
        await expect(granted).to_contain_text(f"{HOME} {owner[:10]}…")
        await expect(granted.get_by_title(owner)).to_be_visible()
        await granted.get_by_role("link", name=HOME).click()
        await expect(asker.page.get_by_role("heading", level=1)).to_have_text(HOME)
        await expect(asker.page.locator("dd").filter(has_text=owner)).to_contain_text(HOME)
        assert await asker.barriers() == []
        assert await asker.page.locator("main img").count() == 0


async def test_a_household_without_an_address_shows_its_mailbox_and_is_asked_by_it(
    cluster: Cluster, browser: Browser
) -> None:
    """What one page lets a person copy the other's field takes."""
    async with (
        at(browser, cluster.nodes["beta"], "consents", PHONE) as asker,
        at(browser, cluster.nodes[AWAY], "consents", PHONE, "--scope", "read") as person,
    ):
        place = person.page.locator(".reached")
        await expect(place).to_contain_text("A provider at the same broker asks by the mailbox.")
        await expect(place.get_by_role("button", name="Copy")).to_have_count(1)
        mailbox = await place.locator("code").first.inner_text()
        assert mailbox == (await cluster.nodes[AWAY].get("/status"))["broker"]["mailbox"]
        assert await person.barriers() == []
        assert await person.fits()
        dialog = await opened(asker)
        await dialog.get_by_label(ADDRESS).fill(mailbox)
        await dialog.get_by_label(PURPOSE, exact=True).fill("By mailbox")
        await dialog.get_by_role("button", name="Ask").click()
        await expect(dialog).to_have_count(0)
        await expect(person.page.get_by_role("article", name="Request of beta")).to_contain_text("By mailbox")


async def test_who_reaches_an_address(cluster: Cluster, browser: Browser) -> None:
    machine, near, anybody = "Only programs on this machine", "Only computers in the same network", None
    known = {
        "http://localhost:8750": machine, "http://127.0.1.1": machine, "http://[::1]:8750": machine,
        "http://0.0.0.0:8750": machine, "http://[::]:8750": machine, "http://home.localhost": machine,
        "http://192.168.1.7:8750": near, "http://10.0.0.2": near, "http://172.16.0.1": near,
        "http://172.31.255.1": near, "http://169.254.1.1": near, "http://100.64.0.1": near, "http://[fd00::7]": near,
        "http://[fe80::7]": near, "http://home.local": near, "http://home.home.arpa": near, "http://home": near,
        "https://home.example": anybody, "https://192.0.2.7": anybody, "https://172.32.0.1": anybody,
        "https://100.128.0.1": anybody, "https://[2001:db8::1]": anybody, "https://10.home.example": anybody,
        "https://127.home.example": anybody, "https://fd.example": anybody,
    }  # fmt: skip
    async with at(browser, cluster.nodes["beta"], "consents", DESKTOP) as someone:
        told = await someone.page.evaluate(REACH, list(known))
        assert dict(zip(known, told, strict=True)) == known
        await expect(someone.page.get_by_role("heading", name="Granted")).to_be_visible()
        assert await someone.page.locator(".reached").count() == 0, "nobody asks a provider"


async def test_permissions_5_what_is_wrong_is_said_at_its_field_and_the_keyboard_is_enough(
    cluster: Cluster, browser: Browser
) -> None:
    before = len(await asked(cluster))
    async with at(browser, cluster.nodes["beta"], "consents", PHONE) as asker:
        page, keyboard = asker.page, asker.page.keyboard
        await page.get_by_role("button", name="Ask for consent").focus()
        await keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Ask for consent")
        home, until, alert = dialog.get_by_label(ADDRESS), dialog.get_by_label("Until"), dialog.get_by_role("alert")
        await expect(home).to_be_focused()
        await keyboard.type(NOBODY)
        await keyboard.press("Tab")
        await keyboard.type("Heat pump advice")
        await keyboard.press("Tab")
        await expect(dialog.get_by_label("every 15 minutes")).to_be_focused()
        await keyboard.press("Space")
        await home.press("Enter")
        group = dialog.get_by_role("group", name="Streams")
        await expect(group.get_by_role("alert")).to_contain_text("No stream is chosen.")
        await expect(dialog.get_by_label("every 15 minutes")).to_be_focused()
        await keyboard.press("Space")
        assert await asker.barriers() == []
        await home.press("Enter")
        await expect(alert).to_contain_text(f"{NOBODY} cannot be reached.")
        await expect(alert.locator("p")).to_have_text(
            [f"{NOBODY} cannot be reached.", "Check the address and the network."]
        )
        await expect(home).to_be_focused()
        await expect(home).to_have_attribute("aria-invalid", "true")
        await expect(home).to_have_accessible_description(re.compile("Its public URL.* cannot be reached"))
        assert await asker.fits()
        await home.fill(cluster.home.url)
        for start, end in ((stamp(time.time() + DAY), stamp(time.time())), ("", stamp(time.time() - DAY))):
            await dialog.get_by_label("From").fill(start)
            await until.fill(end)
            await home.press("Enter")
            await expect(until).to_be_focused()
            await expect(alert.locator("p")).to_have_count(2)
            await expect(alert).to_contain_text("later than")
            await expect(home).not_to_have_attribute("aria-invalid", "true")
        assert await asker.barriers() == []
        assert await asker.fits()
        assert len(await asked(cluster)) == before
        await until.fill("")
        await home.press("Enter")
        await expect(dialog).to_have_count(0)
        row = part(page, "Asked by this node").get_by_role("row").filter(has_text="Heat pump advice")
        await expect(row).to_contain_text("until revoked")
        assert await asker.barriers() == []
        assert await asker.fits()
        assert len(await asked(cluster)) == before + 1


async def test_pressed_again_because_no_answer_came_it_is_asked_once(cluster: Cluster, browser: Browser) -> None:
    before = len(await asked(cluster))
    async with at(browser, cluster.nodes["beta"], "consents", DESKTOP) as asker:
        page = asker.page

        statuses = list[int]()

        async def lost(route: Route) -> None:
            if route.request.method != "POST" or statuses:
                return await route.continue_()
            statuses.append((await route.fetch()).status)
            return await route.abort()

        await page.route("**/api/v1/requests", lost)
        dialog = await opened(asker)
        await dialog.get_by_label(ADDRESS).fill(cluster.home.url)
        await dialog.get_by_label(PURPOSE, exact=True).fill("Asked once")
        await dialog.get_by_role("button", name="Ask").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("The node does not answer.")
        await dialog.get_by_role("button", name="Ask").click()
        await expect(dialog).to_have_count(0)
        await expect(page.get_by_role("row").filter(has_text="Asked once")).to_have_count(1)
        assert statuses == [201]
        assert len(await asked(cluster)) == before + 1


async def test_times_are_those_of_the_zone_that_the_form_names(cluster: Cluster, browser: Browser) -> None:
    async with at(browser, cluster.nodes["beta"], "consents", DESKTOP, zone="Asia/Kolkata") as asker:
        dialog = await opened(asker)
        await expect(dialog).to_contain_text("UTC+05:30")
        await dialog.get_by_label(ADDRESS).fill(cluster.home.url)
        await dialog.get_by_label(PURPOSE, exact=True).fill("Last year")
        await dialog.get_by_label("From").fill("2025-01-01T05:30")
        await dialog.get_by_label("Until").fill("2026-01-01T05:30")
        await dialog.get_by_role("button", name="Ask").click()
        await expect(dialog).to_have_count(0)
    (made,) = [each for each in await asked(cluster) if each["purpose"] == "Last year"]
    assert (made["start"], made["end"]) == (1_735_689_600, 1_767_225_600)
    assert [each["name"] for each in made["streams"]] == [QUARTERS]


async def test_only_a_provider_who_may_decide_is_offered_to_ask(cluster: Cluster, browser: Browser) -> None:
    for node, scope, offered in (
        (cluster.home, (), 0), (cluster.nodes["beta"], ("--scope", "read"), 0),
        (cluster.nodes["beta"], ("--scope", "consent"), 1),
    ):  # fmt: skip
        async with at(browser, node, "consents", PHONE, *scope) as someone:
            await expect(someone.page.get_by_role("heading", name="Granted")).to_be_visible()
            await expect(someone.page.get_by_role("button", name="Ask for consent")).to_have_count(offered)
