"""Statements as a page, over real trades, in a real Chromium: invoices of a time, and their files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from playwright.async_api import Download, Locator, Page, expect

from node.app.trading.statements import StatementBook
from node.errors import NodeError
from tests.support.browser import DESKTOP, PHONE, visit
from tests.support.pageworld import PageWorld, page_world

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain]

both = pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
Size = tuple[int, int]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageWorld]:
    async with page_world(tmp_path_factory.mktemp("statements")) as place:
        book = StatementBook(place.world.market.core)
        while await book.step():
            pass
        yield place


def address(place: PageWorld, name: str) -> str:
    return "0x" + place.world.nodes[name].asset.account(place.world.operator).address.hex()


async def show(page: Page, place: PageWorld, **chosen: str) -> None:
    """A time of ten days around the two deliveries, which began at 1 kWh for 0.0002 and 1 kWh for 0.0003 DEV."""
    now = place.world.clock.now()
    day = {"From": now - 5 * 86_400, "To the end of": now + 5 * 86_400}
    for label, at in day.items():
        await page.get_by_label(label, exact=True).fill(f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}")
    for label, value in chosen.items():
        if label == "period":
            await page.get_by_label("One invoice for").select_option(value)
        else:
            await page.get_by_label("Account (optional)").fill(value)
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_role("button", name="Show")).to_be_enabled()


def fact(page: Page, name: str) -> Locator:
    return page.locator(f"dt:text-is('{name}') + dd")


@both
async def test_a_statement_shows_its_sums_and_what_every_party_pays_and_receives(place: PageWorld, size: Size) -> None:
    async with visit(place.browser, size, dark=size == PHONE) as someone:
        page = someone.page
        await place.enter(page, "statements")
        await expect(page.get_by_text("In all")).to_be_visible()
        await show(page, place)
        for name, value in (
            ("Contracts", "2"), ("Lines", "2"), ("To be received", "0.0005 DEV"), ("To be paid", "0.0005 DEV"),
            ("All lines together", "0.00 DEV"),
        ):  # fmt: skip
            await expect(fact(page, name)).to_have_text(value)
        rows = page.locator("tbody tr.link")
        await expect(rows).to_have_count(2)
        for name, amount in (("seller", "0.0005 DEV"), ("buyer", "−0.0005 DEV")):
            row = rows.filter(has_text=address(place, name)[:10])
            await expect(row.locator("[data-label=Value]")).to_have_text(amount)
        assert await someone.fits()
        assert await someone.barriers() == []
        await rows.filter(has_text=address(place, "seller")[:10]).get_by_role("button").click()
        positions = page.locator(".unfolded")
        await expect(positions.get_by_role("row").filter(has_text="electric")).to_contain_text("2 kWh")
        await expect(positions).to_contain_text("receives")
        await expect(positions).to_contain_text(address(place, "seller"), ignore_case=True)
        assert await someone.fits()
        assert await someone.barriers() == []


async def test_a_statement_of_one_account_and_of_a_time_without_deliveries(place: PageWorld) -> None:
    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        await place.enter(page, "statements")
        await show(page, place, party=address(place, "buyer"), period="day")
        await expect(fact(page, "To be paid")).to_have_text("0.0005 DEV")
        for row in await page.locator("tbody tr.link").all():
            await expect(row).to_contain_text(address(place, "buyer")[:10], ignore_case=True)
        await page.get_by_label("From", exact=True).fill("2001-01-01")
        await page.get_by_label("To the end of").fill("2001-01-31")
        await page.get_by_role("button", name="Show").click()
        await expect(page.get_by_text("No delivery was settled in this time.")).to_be_visible()
        assert await someone.fits()
        await page.get_by_label("To the end of").fill("2000-12-31")
        await page.get_by_role("button", name="Show").click()
        await expect(page.get_by_role("alert")).to_contain_text("The first day is later than the last one.")


@pytest.mark.parametrize(
    ("button", "begins", "holds"),
    [
        ("Invoices, CSV", b"invoice,party", b",energy,"),
        ("Invoices, XML", b"<?xml", b"<text>energy</text>"),
        ("Every line, CSV", b"contract", b",energy,"),
        ("Every line, XML", b"<?xml", b"<text>energy</text>"),
    ],
)
async def test_the_files_of_a_statement_are_those_of_the_interface(
    place: PageWorld, button: str, begins: bytes, holds: bytes
) -> None:
    async with visit(place.browser) as someone:
        page = someone.page
        await place.enter(page, "statements")
        await show(page, place)
        async with page.expect_download() as coming:
            await page.get_by_role("button", name=button).click()
        file = await coming.value
        what, kind = ("invoices" if button.startswith("Inv") else "export"), button[-3:].lower()
        assert file.suggested_filename.endswith(f".{kind}")
        content = (await file.path()).read_bytes()
        start, end = (int(part) for part in file.suggested_filename.removesuffix(f".{kind}").split("-")[1:])
        assert content == await raw(place, f"/market/statement/{what}?from={start}&to={end}&format={kind}")
        assert begins in content[:200]
        assert holds in content
        await expect(page.get_by_text("The file is with your downloads.")).to_be_visible()


async def raw(place: PageWorld, path: str) -> bytes:
    async with place.http.get(
        f"{place.url}/api/v1{path}", headers={"Authorization": f"Bearer {place.admin}"}
    ) as answer:
        assert answer.status == 200
        return await answer.read()


async def test_a_file_that_breaks_off_is_told_and_not_kept(place: PageWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> AsyncIterator[bytes]:
        yield b"half of it"
        raise NodeError("the disk is gone")

    monkeypatch.setattr("node.app.facade.statements.exported", broken)
    async with visit(place.browser) as someone:
        page = someone.page
        await place.enter(page, "statements")
        await show(page, place)
        kept: list[Download] = []
        page.on("download", lambda file: kept.append(file))
        await page.get_by_role("button", name="Every line, CSV").click()
        await expect(page.get_by_role("alert")).to_contain_text("The file broke off on its way.")
        assert kept == []


@both
async def test_a_gateway_chooses_among_its_markets_and_sees_its_own_account(place: PageWorld, size: Size) -> None:
    async with visit(place.browser, size) as someone:
        page = someone.page
        status = {**await place.get("/status"), "roles": ["gateway"]}
        await page.route("**/api/v1/status", lambda route: route.fulfill(json=status))
        await place.enter(page, "statements")
        await expect(page.get_by_label("Market").locator("option")).to_have_count(1)
        await show(page, place)
        await expect(fact(page, "To be received")).to_have_text("0.0005 DEV")
        await expect(page.locator("tbody tr.link")).to_have_count(1)
        await expect(page.locator("tbody tr.link")).to_contain_text(address(place, "seller")[:10], ignore_case=True)
        assert await someone.fits()
        links = page.get_by_label("Pages", exact=True)
        if size == PHONE:
            await links.get_by_role("link", name="More").click()
            links = page.get_by_label("More pages")
        await links.get_by_role("link", name="Statements").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Statements")
