"""Consents and streams on the pages of a household and its providers, which are real processes."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Route, expect

from tests.e2e.conftest import Clusters
from tests.support.browser import DESKTOP, PHONE, Visit, chromium
from tests.support.cluster import RAW, Cluster, Plan
from tests.support.pagenodes import at
from tests.support.processes import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

QUARTERS = "electricity/15min"
HOSTILE = 'Advice <img src=x onerror="document.title=1"><script>document.title=2</script>'
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Place:
    cluster: Cluster
    browser: Browser

    async def consent_of(self, provider: str) -> dict[str, object]:
        """The newest consent that the provider's node knows."""
        found = await self.cluster.nodes[provider].items("/consents")
        return found[-1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(clusters: Clusters) -> AsyncIterator[Place]:
    named = {"alpha": {"node.domain": "localhost"}}
    plan = Plan(providers=("alpha", "beta"), streams=(RAW, QUARTERS), settings=named)
    async with clusters(plan) as cluster, chromium() as browser:
        await cluster.pair()
        yield Place(cluster, browser)


def card(someone: Visit, party: str) -> Locator:
    return someone.page.get_by_role("article", name=f"Request of {party}")


async def test_permissions_1_a_request_is_shown_whole_and_granted_in_part(place: Place) -> None:
    """Fewer streams and a shorter time; then what was delivered, the accepted text, the life, and one question before
    it is revoked at once."""
    cluster = place.cluster
    end = int(time.time()) // 60 * 60 + 30 * DAY
    await cluster.ask("alpha", streams=[RAW, QUARTERS], purpose=HOSTILE, end=end)
    async with at(place.browser, cluster.home, "", PHONE) as someone:
        page = someone.page
        await page.get_by_role("link", name="Somebody asks for your consent.").click()
        asked = card(someone, "alpha")
        for words in (HOSTILE, "electricity, every second", "electricity, every 15 minutes", "You may answer until"):
            await expect(asked).to_contain_text(words)
        await expect(asked).to_contain_text(time.strftime("%Y-%m-%d %H:%M", time.gmtime(end)))
        await expect(asked).to_contain_text("(localhost, not verified)")
        await expect(asked).to_contain_text("Not verified. localhost leads to an address that is not public. Asked ")
        assert await someone.barriers() == []
        await asked.get_by_role("button", name="Grant").click()
        dialog = page.get_by_role("dialog")
        assert await someone.barriers() == []
        assert await someone.fits()
        await dialog.get_by_label("electricity, every second").uncheck()
        await dialog.get_by_label("electricity, every 15 minutes").uncheck()
        await dialog.get_by_role("button", name="Grant").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("Choose at least one stream, or deny the request.")
        await dialog.get_by_label("electricity, every second").check()
        await dialog.get_by_label("Until").fill("2001-01-01T00:00")
        await dialog.get_by_role("button", name="Grant").click()
        alert = dialog.get_by_role("alert")
        await expect(alert.locator("p")).to_have_count(2)  # a sentence, and what to do
        sooner = end - 20 * DAY
        await dialog.get_by_label("Until").fill(time.strftime("%Y-%m-%dT%H:%M", time.gmtime(sooner)))
        await dialog.get_by_role("button", name="Grant").click()
        await expect(dialog).to_have_count(0)
        row = page.get_by_role("row").filter(has_text="alpha")
        await expect(row).to_contain_text("live")
        await expect(asked).to_have_count(0)
        assert await someone.fits()
        (given,) = await cluster.home.items("/consents")
        assert ([stream["name"] for stream in given["streams"]], given["end"]) == ([RAW], sooner)
        await cluster.flows("alpha")
        await row.get_by_role("link", name="alpha").click()
        await _one_consent(place, someone, given["text_hash"])


async def _one_consent(place: Place, someone: Visit, text_hash: str) -> None:
    page = someone.page
    await expect(page.get_by_role("heading", level=1)).to_have_text("alpha")
    await expect(page.get_by_role("row").filter(has_text="every second")).to_contain_text("1 min each")
    await expect(page.locator("td").filter(has_text="readings")).not_to_have_text("0 readings")
    await page.get_by_text("The accepted text, word for word").click()
    text = page.locator("pre")
    await expect(text).to_contain_text(json.dumps(HOSTILE))
    await expect(page.locator("main")).to_contain_text(text_hash)
    life = page.get_by_role("listitem")
    for words in ("Asked", "Shown to a person", "Granted", "On the chain", "Final: it opens"):
        await expect(life.filter(has_text=words)).to_have_count(1)
    assert await someone.barriers() == []
    assert await someone.fits()
    await page.get_by_role("button", name="Revoke").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("at once and for good")
    await dialog.get_by_role("button", name="Cancel").click()
    assert (await place.consent_of("alpha"))["state"] == "live"
    await page.get_by_role("button", name="Revoke").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(page.locator(".title-row")).to_contain_text("revoked")
    await expect(life.filter(has_text="Revoked")).to_have_count(1)
    await expect(page.get_by_role("button", name="Revoke")).to_have_count(0)

    async def known() -> bool:
        return bool((await place.consent_of("alpha"))["state"] == "revoked")

    await until("the provider knows", known)
    await page.get_by_role("button", name="Ask them to erase it").click()
    await page.get_by_label("Reason (optional)").fill("I moved out")
    assert await someone.barriers() == []
    await page.get_by_role("dialog").get_by_role("button", name="Ask").click()
    erased = page.locator("section", has=page.get_by_role("heading", name="What they have read"))
    await expect(erased).to_contain_text("done, with a signed receipt")
    await expect(erased).to_contain_text("readings,")
    await erased.get_by_text("The signed receipt").click()
    await expect(erased.locator("pre")).to_contain_text("I moved out")
    assert await someone.barriers() == []
    assert await someone.fits()


async def test_permissions_1_denied_with_a_reason_that_the_provider_reads(place: Place) -> None:
    cluster = place.cluster
    request = await cluster.ask("beta", streams=[QUARTERS, "gas/1h"], purpose="Gas")
    async with at(place.browser, cluster.home, "consents", DESKTOP) as someone:
        asked = card(someone, "beta").filter(has_text="gas, every hour")
        await expect(asked).to_contain_text("This household has no stream gas/1h")
        await asked.get_by_role("button", name="Grant").click()
        box = someone.page.get_by_role("dialog").get_by_label("gas, every hour")
        await expect(box).to_be_disabled()
        await someone.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        await asked.get_by_role("button", name="Deny").click()
        await someone.page.get_by_label("Reason (optional)").fill("No gas here")
        assert await someone.barriers() == []
        await someone.page.get_by_role("dialog").get_by_role("button", name="Deny").click()
        earlier = someone.page.locator("section", has=someone.page.get_by_role("heading", name="Earlier requests"))
        await expect(earlier.get_by_role("row").filter(has_text="beta")).to_contain_text("No gas here")
        assert await someone.barriers() == []

    async def told() -> bool:
        sent = await cluster.nodes["beta"].get(f"/requests/{request}")
        return (sent["state"], sent["reason"]) == ("denied", "No gas here")

    await until("the provider was told", told)


async def test_a_thousand_requests_are_shown_in_parts(place: Place) -> None:
    """permissions.md 5: many pending requests make no page that nobody can use."""
    request = await place.cluster.ask("beta")
    one = await place.cluster.home.get(f"/requests/{request}")

    async def many(route: Route) -> None:
        await route.fulfill(json={"items": [{**one, "id": f"0x{n:064x}"} for n in range(1_000)]})

    async with at(place.browser, place.cluster.home, "", PHONE, "--scope", "read") as someone:
        page = someone.page
        await page.route("**/api/v1/requests", many)
        await page.evaluate("() => { location.hash = '#/consents'; }")
        cards = page.get_by_role("article")
        await expect(cards).to_have_count(20)
        await page.get_by_role("button", name="Show more").click()
        await expect(cards).to_have_count(40)
        await expect(page.get_by_role("button", name="Show more")).to_have_count(1)
        assert await someone.fits()


async def test_who_may_only_look_is_offered_no_decision(place: Place) -> None:
    await place.cluster.ask("beta")
    async with at(place.browser, place.cluster.home, "consents", PHONE, "--scope", "read") as someone:
        await expect(card(someone, "beta").first).to_be_visible()
        assert await someone.page.get_by_role("button", name="Grant").count() == 0
        assert await someone.page.get_by_role("button", name="Deny").count() == 0
        assert await someone.fits()


async def test_a_consent_that_begins_later_has_delivered_nothing_yet(place: Place) -> None:
    home = place.cluster.home
    granted = await place.cluster.grant("beta", wait=False, start=int(time.time()) + DAY)

    async def there() -> bool:
        return (await home.raw("GET", f"/consents/{granted}")).status == 200

    await until("the grant is on chain", there)
    (stream,) = (await home.get(f"/consents/{granted}"))["streams"]
    assert (stream["readings"], stream["last_reading_at"], stream["end_slot"]) == (0, None, None)
    assert stream["first_slot"] * stream["slot_seconds"] + stream["genesis"] >= time.time()


async def test_a_provider_sees_what_it_was_granted_and_what_it_received(place: Place) -> None:
    granted = await place.cluster.grant("beta")
    async with at(place.browser, place.cluster.nodes["beta"], "consents", PHONE) as someone:
        page = someone.page
        await page.locator(f'a[href="#/consents/{granted}"]').click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("home")
        await expect(page.locator("td").filter(has_text="readings")).not_to_have_text("0 readings")
        await expect(page.locator("main")).to_contain_text("this node")
        assert await someone.barriers() == []
        assert await someone.fits()


async def test_a_consent_that_is_not_there_is_said_with_what_to_do(place: Place) -> None:
    async with at(place.browser, place.cluster.home, f"consents/0x{'ee' * 32}", PHONE) as someone:
        await expect(someone.page.get_by_role("alert")).to_contain_text("There is no consent with this id.")


async def test_a_list_of_many_pages_is_shown_whole(place: Place) -> None:
    home = place.cluster.home
    await place.cluster.grant("beta")
    given = await home.items("/consents")
    assert len(given) > 1

    async def one_by_one(route: Route) -> None:
        url = route.request.url
        await route.continue_(url=f"{url}{'&' if '?' in url else '?'}limit=1")

    async with at(place.browser, home, "", DESKTOP, "--scope", "read") as someone:
        page = someone.page
        await page.route("**/api/v1/consents*", one_by_one)
        await page.evaluate("() => { location.hash = '#/consents'; }")
        granted = page.locator("section", has=page.get_by_role("heading", name="Granted", exact=True))
        for each in given:
            await expect(granted.locator(f'a[href="#/consents/{each["grant_id"]}"]')).to_be_visible()


async def test_streams_with_their_readers_a_day_as_picture_and_figures_and_the_newest_readings(place: Place) -> None:
    cluster = place.cluster
    await cluster.grant("beta")
    async with at(place.browser, cluster.home, "streams", PHONE) as someone:
        page = someone.page
        row = page.get_by_role("row").filter(has_text="every second")
        await expect(row).to_contain_text("this household, beta")
        await expect(row).to_contain_text("ago")
        assert await someone.barriers() == []
        assert await someone.fits()
        await row.get_by_role("link").click()
        picture = page.get_by_role("img", name="Power over the day")
        await expect(picture.locator("rect")).not_to_have_count(0)
        members = page.locator("section", has=page.get_by_role("heading", name="Who can read it now"))
        await expect(members.get_by_role("link", name="beta").first).to_be_visible()
        newest = page.locator("section", has=page.get_by_role("heading", name="Newest readings"))
        await expect(newest.get_by_role("row").nth(1)).to_contain_text("W")
        await page.get_by_text("Figures").click()
        assert await someone.barriers() == []
        assert await someone.fits()
        await page.get_by_role("button", name="The day before").click()
        await expect(page.get_by_text("Nothing was read of this day.")).to_be_visible()
        await page.get_by_role("button", name="The day after").click()
        await expect(picture).to_be_visible()


async def test_a_curve_sums_what_the_readings_say(place: Place) -> None:
    """To the watt: count, first, last, low, high and sum of every step."""
    home, sid = place.cluster.home, place.cluster.raw

    async def minutes() -> list[dict[str, Any]]:
        found = await home.readings(sid)
        return found if found[-1]["time"] // 60 > found[0]["time"] // 60 else []

    rows = await until("there are readings of two minutes", minutes)
    start, end = rows[0]["time"] // 60 * 60, rows[-1]["time"] // 60 * 60  # whole steps only: more comes meanwhile
    rows = [row for row in rows if row["time"] < end]
    steps = (await home.get(f"/streams/{sid}/curve?from={start}&to={end}&step=60"))["items"]
    assert sum(step["readings"] for step in steps) == len(rows)
    for step in steps:
        told = [row["values"]["export_w"] for row in rows if 0 <= row["time"] - step["start"] < 60]
        assert step["values"]["export_w"] == {
            "count": len(told), "first": told[0], "last": told[-1], "low": min(told), "high": max(told),
            "sum": sum(told),
        }  # fmt: skip
    refused = await home.raw("GET", f"/streams/0x{'ee' * 32}/curve?from={start}&to={end}")
    assert refused.status == 404


async def test_a_provider_sees_which_streams_it_may_read_and_for_how_long(place: Place) -> None:
    end = int(time.time()) // 60 * 60 + 10 * DAY
    await place.cluster.grant("alpha", end=end)
    async with at(place.browser, place.cluster.nodes["alpha"], "streams", DESKTOP) as someone:
        row = someone.page.get_by_role("row").filter(has_text="every second")
        await expect(row).to_contain_text(f"to {time.strftime('%Y-%m-%d %H:%M', time.gmtime(end))}")
        await row.get_by_role("link").click()
        await expect(someone.page.get_by_role("link", name="this node, by consent")).to_be_visible()
        await expect(someone.page.get_by_role("img", name="Power over the day").locator("rect")).not_to_have_count(0)
        assert await someone.barriers() == []


async def test_a_gateway_shows_what_it_writes(place: Place) -> None:
    async with at(place.browser, place.cluster.gateway, "streams", PHONE) as someone:
        row = someone.page.get_by_role("row").filter(has_text="every second")
        await expect(row).to_contain_text("keys")
        await row.get_by_role("link").click()
        await expect(someone.page.locator("main")).to_contain_text("keys open it")
        assert await someone.page.get_by_role("heading", name="A day").count() == 0
        assert await someone.barriers() == []
        assert await someone.fits()
