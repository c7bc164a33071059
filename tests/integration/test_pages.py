"""Assets, transactions, market and jobs as pages, over real trades, in a real Chromium (M-70, M-72, M-74 to M-82)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator, Collection
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect
from sqlalchemy import select, update

from node.app.core import peer_of
from node.projection.settlement_events import RequestedTradeNotice
from node.projection.twin import Twin
from node.storage.schema import states
from tests.support.browser import DESKTOP, PHONE, visit
from tests.support.marketface import no_signature
from tests.support.pageworld import HOSTILE, PageWorld, page_world
from tests.support.tradeworld import DAY, HOUR, Node

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain]

both = pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
Size = tuple[int, int]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageWorld]:
    async with page_world(tmp_path_factory.mktemp("pages")) as place:
        yield place


def png(side: int) -> bytes:
    """A square picture, one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\x00" + b"\x20\xa0\x60" * side) * side
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def rows_of(page: Page) -> list[list[str]]:
    """The table of transactions without what is unfolded; waits until there is one."""
    await page.locator("tbody tr.link, .empty").first.wait_for()
    rows = page.locator("tbody tr.link")
    return [await row.locator("td").all_inner_texts() for row in await rows.all()]


@both
async def test_m72_assets_by_name_type_balance_status_and_one_click_to_one(place: PageWorld, size: Size) -> None:
    """A script in an asset's name is text."""
    async with visit(place.browser, size) as someone:
        page = someone.page
        await place.enter(page)
        row = page.get_by_role("row").filter(has_text="Roof")
        await expect(row).to_contain_text(HOSTILE)
        assert await page.title() == "Overview · Wattpact"
        for word in ("producer", "DEV", "running"):
            await expect(row).to_contain_text(word)
        assert await someone.fits()
        await row.get_by_text("producer").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
        assert page.url.lower().endswith(f"#/assets/{place.device}")
        assert await someone.fits()


@both
async def test_m76_m79_what_an_asset_came_to_with_plots_and_tabs(place: PageWorld, size: Size) -> None:
    async with visit(place.browser, size, dark=size == PHONE) as someone:
        page = someone.page
        await place.enter(page, f"assets/{place.device}")
        for name, value in (
            ("Produced", "2 kWh"), ("Consumed", "0 kWh"), ("Transactions", "12"),
            ("Average price", "0.00025 DEV/kWh"), ("Income", "0.0005 DEV"), ("Cost", "0.00 DEV"),
        ):  # fmt: skip
            await expect(page.locator(".stat").filter(has_text=name)).to_contain_text(value)
        energy = page.get_by_role("img", name="Energy over time")
        await expect(energy.locator("rect.produced")).to_have_count(2)
        await expect(page.get_by_role("img", name="Price over time").locator("circle")).to_have_count(2)
        await page.get_by_text("Figures").click()
        await expect(page.get_by_role("row").filter(has_text="0.0002 DEV/kWh")).to_contain_text("1 kWh")
        await expect(page.get_by_role("row").filter(has_text="0.0003 DEV/kWh")).to_contain_text("1 kWh")
        assert await someone.fits()
        for tab in ("Settings", "Transactions", "Overview"):
            tabs = page.get_by_label("Asset", exact=True)
            await tabs.get_by_role("link", name=tab).click()
            await expect(tabs.locator("[aria-current]")).to_have_text(tab)
            assert await someone.fits()


async def test_m77_paused_and_continued(place: PageWorld) -> None:
    async with visit(place.browser) as someone:
        page = someone.page
        await place.enter(page, f"assets/{place.device}")
        await page.get_by_role("button", name="Pause operation").click()
        await expect(page.get_by_role("button", name="Continue operation")).to_be_visible()
        known = await place.world.nodes["seller"].pool.config()
        assert known is not None
        assert known.status == "paused"
        await page.get_by_role("button", name="Continue operation").click()
        await expect(page.get_by_role("button", name="Pause operation")).to_be_visible()


@both
async def test_m78_settings_are_pushed_to_the_device(place: PageWorld, size: Size) -> None:
    """M-74: with a picture, which the browser makes small."""
    async with visit(place.browser, size) as someone:
        page = someone.page
        await place.enter(page, f"assets/{place.device}/settings")
        await expect(page.get_by_label("Name")).to_have_value(HOSTILE)
        smallest = page.get_by_label("Minimum offer or request, kWh")
        await expect(smallest).to_have_value("0.5" if size == PHONE else "0.36")
        await page.get_by_label("Energy price: the least it takes").fill("free")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("alert")).to_contain_text("The least price is a number such as 12.5.")
        lowest = "0.00018" if size == PHONE else "0.00021"
        await page.get_by_label("Energy price: the least it takes").fill(lowest)
        await page.get_by_label("Minimum offer or request, kWh").fill("0.36")
        await page.get_by_label("Description").fill("A new inverter")
        await page.get_by_label("Device image").set_input_files(
            {"name": "roof.png", "mimeType": "image/png", "buffer": png(700)}
        )
        await expect(page.get_by_alt_text("The device's picture")).to_be_visible()
        assert await someone.fits()
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("The device has taken the settings.")).to_be_visible()
        known = await place.world.nodes["seller"].pool.config()
        assert known is not None
        assert (known.offer_price, known.min_offer_wh) == (int(float(lowest) * 10**6), 360)
        assert (known.name, known.location, known.description) == (HOSTILE, "Linden street 5", "A new inverter")
        assert known.image.startswith("data:image/jpeg;base64,")
        assert known.delivery_s == 900


async def test_m74_m75_a_new_device_with_all_its_fields_or_cancelled(place: PageWorld) -> None:
    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        await place.enter(page)
        await page.get_by_role("link", name="Add a device").click()
        for label in (
            "Type", "Name", "Energy price: the least it takes", "Minimum offer or request, kWh", "Running",
            "Enable transaction dashboard", "URL of the market", "Location", "Area", "Description (optional)",
            "Device image (optional)",
        ):  # fmt: skip
            await expect(page.get_by_label(label)).to_be_visible()
        await expect(page.locator("form")).to_contain_text(place.device[:10], ignore_case=True)
        await page.get_by_label("Type").select_option("Consumer")
        await expect(page.get_by_label("Energy price: the most it pays")).to_be_visible()
        await expect(page.get_by_label("Energy price: the least it takes")).to_have_count(0)
        await page.get_by_label("Type").select_option("Producer")
        await page.get_by_label("Name").fill("Barn")
        await page.get_by_label("URL of the market").fill("http://127.0.0.1:1")
        await page.get_by_label("Energy price: the least it takes").fill("0.0002")
        assert await someone.fits()
        await page.get_by_role("button", name="Add device").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.get_by_label("URL of the market").fill(place.world.market.url)
        await page.get_by_role("button", name="Add device").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Barn")
        known = await place.world.nodes["seller"].pool.config()
        assert known is not None
        assert (known.name, known.role, known.min_offer_wh) == ("Barn", "producer", 1_000)
        await page.get_by_role("link", name="Overview").first.click()
        await page.get_by_role("link", name="Add a device").click()
        await page.get_by_role("link", name="Cancel").click()
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()


async def test_m62_money_of_the_main_wallet_for_an_asset(place: PageWorld) -> None:
    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        await place.enter(page, f"assets/{place.device}")
        await page.get_by_role("button", name="Fund", exact=True).click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("The main wallet has 9.00 DEV")
        await dialog.get_by_label("Amount in DEV").fill("2.5")
        await dialog.get_by_role("button", name="Fund").click()
        await expect(dialog).to_have_count(0)
        account = place.world.nodes["seller"].asset.account(place.world.operator).address

        async def there() -> bool:
            return await place.world.token_of(account) >= 2_500_000

        await place.world.until("the money is in the asset's wallet", there)
        await page.reload()
        await expect(page.get_by_text("in its wallet")).to_be_visible()
        await expect(page.locator("dd").filter(has_text="2.5")).not_to_have_count(0)


async def test_m86_a_gateway_shows_its_assets_own_wallet_and_orders(place: PageWorld) -> None:
    """After M-62 there is money in it: some goes into the market's book."""
    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        await place.enter(page)
        own = page.locator("section", has=page.get_by_role("heading", name="This asset's money"))
        await expect(own.get_by_role("row")).to_contain_text("2.50 DEV")
        orders = page.locator("section", has=page.get_by_role("heading", name="Offers and requests"))
        await expect(orders.get_by_role("row").filter(has_text="0.00026 DEV/kWh")).to_contain_text("4 kWh")
        await own.get_by_role("button", name="Take out").click()
        await expect(own.get_by_role("alert")).to_contain_text("Nothing can be taken out: Nothing is on the way out")
        await own.get_by_role("button", name="Deposit").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Amount in DEV").fill("1.25")
        assert await someone.fits()
        await dialog.get_by_role("button", name="Deposit").click()
        await expect(dialog).to_have_count(0)
        before = await place.world.balance("seller")

        async def booked() -> bool:
            return await place.world.balance("seller") == before + 1_250_000

        await place.world.until("it is in the book", booked)
        await expect(own.get_by_role("row")).to_contain_text("1.25 DEV")


@both
async def test_nobody_is_kept_out_in_either_light(place: PageWorld, size: Size) -> None:
    """operations.md 4, test 40: axe finds nothing; names, contrast, order of headings, what a keyboard reaches."""
    async with visit(place.browser, size, dark=size == PHONE) as someone:
        page = someone.page
        await page.goto(place.url)
        await page.get_by_role("heading", name="Wattpact").wait_for()
        assert await someone.barriers() == []
        await place.enter(page)
        asset = f"assets/{place.device}"
        for where in ("", asset, f"{asset}/settings", "assets/new", "market", "jobs", "transactions"):
            await page.evaluate("where => { location.hash = where; }", f"#/{where}")
            await page.locator("main :is(.figure, td, .empty, form)").first.wait_for()
            assert await someone.barriers() == [], where
        await page.locator("tbody tr.link").last.click()
        await page.locator(".event, .empty").first.click()
        assert await someone.barriers() == []
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Withdraw").first.click()
        assert await someone.barriers() == []


@both
async def test_m80_transactions_by_page_status_id_and_time(place: PageWorld, size: Size) -> None:
    async with visit(place.browser, size) as someone:
        page = someone.page
        await place.enter(page, "transactions")
        rows = await rows_of(page)
        assert len(rows) == 10, "ten a page"
        newest, *_ = rows
        assert newest[0].startswith("0x" + place.contracts[-1].hex()[:8])
        assert newest[2:] == ["0.7 kWh", "0.000175 DEV", "Contract created"]
        assert await someone.fits()
        pages = page.get_by_label("Pages of the table")
        await expect(pages).to_contain_text("12 transactions")
        await pages.get_by_role("button", name="2", exact=True).click()
        await expect(page.locator("tbody tr.link")).to_have_count(2)
        oldest = (await rows_of(page))[-1]
        assert oldest[0].startswith("0x" + place.contracts[0].hex()[:8])
        assert oldest[2:] == ["1 kWh", "0.0002 DEV", "Payment confirmed"]
        await page.get_by_label("Rows").select_option("20")
        await expect(page.locator("tbody tr.link")).to_have_count(12)
        await page.get_by_label("Status").select_option("Payment confirmed")
        await expect(page.locator("tbody tr.link")).to_have_count(2)
        await page.get_by_label("Status").select_option("Claim issued")
        await expect(page.get_by_text("No transaction is like this.")).to_be_visible()
        await page.get_by_label("Status").select_option("All")
        search = page.get_by_role("searchbox")
        for text, found in ((place.contracts[3].hex()[:14], 1), (oldest[1], 1), (oldest[1][:10], None), ("", 12)):
            await search.fill(text)
            await page.get_by_role("button", name="Search").click()
            await expect(page.locator("tbody tr.link")).to_have_count(found) if found else await rows_of(page)
        await search.fill("yesterday")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_role("alert")).to_contain_text("Type the beginning of an id, or a time")


async def test_m80_a_long_list_has_a_hundred_pages_and_more(place: PageWorld) -> None:
    """The same contract a thousand times under other numbers, as a node would page it."""
    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        await place.enter(page)
        row = (await place.get("/market/trades?limit=1"))["items"][0]

        async def many(route: Route) -> None:
            asked = parse_qs(urlsplit(route.request.url).query)
            before, limit = int(asked.get("before", ["1251"])[0]), int(asked["limit"][0])
            numbers = range(before - 1, max(0, before - 1 - limit), -1)
            await route.fulfill(json={"items": [{**row, "number": n, "id": f"0x{n:064x}"} for n in numbers]})

        await page.route("**/api/v1/market/trades?*", many)
        await page.evaluate("() => { location.hash = '#/transactions'; }")
        pages = page.get_by_label("Pages of the table")
        await expect(pages).to_contain_text("200+ transactions")
        await pages.get_by_role("button", name="20", exact=True).click()
        await expect(pages).to_contain_text("1200+ transactions")
        await pages.get_by_role("button", name="120", exact=True).click()
        await expect(pages).to_contain_text("1250 transactions")
        await pages.get_by_role("button", name="125", exact=True).click()
        assert len(await rows_of(page)) == 10
        await expect(pages.get_by_role("button", name="Next page")).to_be_disabled()
        await page.get_by_label("Rows").select_option("100")
        await expect(pages.get_by_role("button", name="13", exact=True)).to_be_visible()
        assert await someone.fits()


async def test_m80_an_assets_own_transactions_stand_in_its_tab(place: PageWorld) -> None:
    async with visit(place.browser) as someone:
        page = someone.page
        await place.enter(page, f"assets/{place.device}/transactions")
        assert len(await rows_of(page)) == 10


@both
async def test_m81_m82_every_event_of_a_row_checked_in_all_copies(place: PageWorld, size: Size) -> None:
    """The same stands in database, channel and chain; then somebody changes the database by hand."""
    contract = place.contracts[0 if size == PHONE else 1]

    async def whole() -> bool:
        return len((await place.world.market.core.storage.views.one(Twin, contract)).entries) == 18

    await place.world.until("the twin is whole", whole)
    async with visit(place.browser, size) as someone:
        page = someone.page
        await place.enter(page, "transactions")
        await page.get_by_role("searchbox").fill(contract.hex())
        await page.get_by_role("button", name="Search").click()
        await expect(page.locator("tbody tr.link")).to_have_count(1)
        await page.locator("tbody tr.link").click()
        events = page.locator(".events li")
        await expect(events.first).to_be_visible()
        told = " ".join(await events.all_inner_texts())
        for word in ("Contract created", "Delivery reported", "Payment requested", "Payment processed", "confirmed"):
            assert word in told, told
        assert "market, seller, buyer" in told or "written by" in told
        assert await someone.fits()
        await events.filter(has_text="Payment processed").first.click()
        sheet = page.get_by_role("dialog")
        verdict = sheet.locator(".verdict")
        await expect(verdict).to_have_attribute("data-agrees", "true")
        for copy in ("Database", "Channel", "Chain"):
            await expect(verdict.locator("li").filter(has_text=copy)).to_contain_text("agrees")
        await expect(sheet.locator(".json").first).to_contain_text('"signature": "0x')
        await expect(sheet.locator(".json").first).to_contain_text('"status": "paid"')
        assert await someone.fits()
        await sheet.get_by_role("button", name="Close").click()
        price = '"price":200' if size == PHONE else '"price":300'
        await change(place.world.market, contract, price, '"price":999')
        await events.first.click()
        await expect(verdict).to_have_attribute("data-agrees", "false")
        await expect(verdict.locator("li").filter(has_text="Database")).to_contain_text("differs")
        row = sheet.locator("tr.differs")
        await expect(row).to_have_count(1)
        await expect(row).to_contain_text("price")
        await expect(row).to_contain_text("0.000999 DEV")
        await change(place.world.market, contract, '"price":999', price)


async def test_m81_a_node_without_the_twin_shows_the_events_of_its_own(place: PageWorld) -> None:
    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        problem = {"status": 404, "detail": "This node holds no twin of this contract.", "code": "not_found"}
        await page.route("**/twin", lambda route: route.fulfill(status=404, json=problem))
        await place.enter(page, "transactions")
        await page.locator("tbody tr.link").first.click()
        await expect(page.get_by_text("holds no digital twin")).to_be_visible()
        await page.locator(".events li").first.click()
        await expect(page.get_by_role("dialog").locator(".json")).to_contain_text('"kind": "trade.moved"')
        assert await someone.fits()


async def test_a17_amounts_and_times_are_exact_whatever_is_typed(place: PageWorld) -> None:
    """Integers inside: no digit is lost on the way to a person and back, also beyond what a number in JavaScript is."""
    async with visit(place.browser) as someone:
        page = someone.page
        wallet = {**await place.get("/wallet"), "balance": 2**80 + 1}
        text = str(wallet["balance"])
        await page.route("**/api/v1/wallet", lambda route: route.fulfill(json=wallet))
        await place.enter(page)
        whole = f"{int(text[:-6]):,}.{text[-6:]}"
        await expect(page.get_by_label("Main wallet")).to_contain_text(f"{whole} DEV")
        said = await page.evaluate(TYPED)
        assert said["money"] == ["12500000", "1", "1208925819614629174706177", "500000"]
        assert said["kwh"] == ["500", "1234567"]
        assert len(said["refused"]) == 6
        assert all(each.startswith("It ") for each in said["refused"])
        day = {"from": 1_796_774_400, "to": 1_796_860_800}
        assert said["asked"] == [
            day, {"from": 1_796_824_800, "to": 1_796_824_860}, {"from": 1_796_824_859, "to": 1_796_824_860},
            {"id": "0xab12"}, {},
        ]  # fmt: skip


TYPED = """async () => {
  const units = await import("/pages/units.js");
  const { asQuery } = await import("/pages/transactions.js");
  const refused = [];
  for (const text of ["", "-1", "1e3", "0x10", "1.2.3", "0.0000001"]) {
    try { units.typedMoney(text, "It"); } catch (error) { refused.push(error.message); }
  }
  return {
    money: ["12.5", "0,000001", "1208925819614629174.706177", " 0.50 "].map((each) => `${units.typedMoney(each, "")}`),
    kwh: ["0.5", "1 234.567"].map((text) => `${units.typedKwh(text, "It")}`),
    asked: ["2026-12-09", "2026-12-09 14:00", "2026-12-09T14:00:59", "0xab12", " "].map(asQuery),
    refused,
  };
}"""


async def change(node: Node, contract: bytes, old: str, new: str) -> None:
    """Somebody changes what the database of a node says of a contract, behind its back."""
    async with node.core.storage.database.write() as connection:
        rows = (await connection.execute(select(states.c.key, states.c.document).where(states.c.kind == "trade"))).all()
        for key, document in rows:
            if old in document and contract.hex() in document:
                changed = update(states).where(states.c.key == key, states.c.document == document)
                await connection.execute(changed.values(document=document.replace(old, new)))


@both
async def test_the_market_shows_depth_and_prices_as_they_move(place: PageWorld, size: Size) -> None:
    async with visit(place.browser, size, dark=size == DESKTOP) as someone:
        page = someone.page
        await place.enter(page, "market")
        book = page.locator("section", has=page.get_by_role("heading", name="Order book"))
        await expect(book.get_by_role("img", name="Order book")).to_be_visible()
        await expect(book.get_by_role("row").filter(has_text="0.00026 DEV/kWh")).to_contain_text("4 kWh")
        await expect(page.get_by_role("img", name="Price over time")).to_be_visible()
        contracts = page.locator("section", has=page.get_by_role("heading", name="Newest contracts"))
        await expect(contracts).to_contain_text("0.7 kWh")
        assert await someone.fits()
        price = 270 if size == PHONE else 280
        await place.world.order("seller", "offer", 1_250, price, place.world.clock.now() + 20 * HOUR)
        await place.world.rounds(2)
        await expect(page.get_by_label("Time of delivery").locator("option")).to_have_count(2 if size == PHONE else 3)
        await page.get_by_label("Time of delivery").select_option(index=1 if size == PHONE else 2)
        await expect(book.get_by_role("row").filter(has_text=f"{price / 10**6:.5f} DEV/kWh")).to_contain_text(
            "1.25 kWh"
        )


async def test_m70_jobs_with_their_errors_tried_again_or_called_off(place: PageWorld) -> None:
    """Two letters that their addressee refuses for good: a person decides."""
    world = place.world
    seller, now = world.nodes["seller"], world.clock.now()
    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        await place.enter(page, "jobs")
        await expect(page.get_by_text("There is nothing to do.")).to_be_visible()
        market = peer_of(world.market.core.card)
        letters = [
            RequestedTradeNotice(place.contracts[n], f"user.word/{n}", market, "user.word", "{}", now + DAY, now)
            for n in range(2)
        ]
        await seller.core.storage.memory.keep(letters)
        seller.core.wake()
        await world.rounds(2)
        rows = page.get_by_role("row").filter(has_text="SendParcel")
        await expect(rows).to_have_count(2)
        await expect(rows.first).to_contain_text("user.word")
        assert await someone.fits()
        await rows.first.get_by_role("button", name="Try again").click()
        await expect(page.get_by_text("The job is tried again.")).to_be_visible()
        await expect(rows.filter(has_text="queued")).to_have_count(1)
        await rows.filter(has_text="failed").get_by_role("button", name="Call off").click()
        await expect(rows).to_have_count(1)
        await rows.filter(has_text="queued").get_by_role("button", name="Call off").click()
        await expect(page.get_by_text("There is nothing to do.")).to_be_visible()


async def test_m70_an_order_that_was_refused_without_proof_waits_among_the_jobs(
    place: PageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The market's no is not signed, so it ends no order: it is asked again, and once it is taken all is done."""
    world = place.world
    assert world.market.market is not None
    kept = world.market.market.notices.retired

    async def retired(accounts: Collection[bytes]) -> frozenset[bytes]:
        return frozenset(accounts)

    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        await place.enter(page, "jobs")
        await expect(page.get_by_text("There is nothing to do.")).to_be_visible()
        world.market.market.notices.retired = retired  # type: ignore[method-assign]
        monkeypatch.setattr("node.app.trading.ordertaking.signed_refusal", no_signature)
        await world.order("seller", "offer", 100, 900, world.clock.now() + 2 * HOUR)
        await world.rounds(2)
        world.market.market.notices.retired = kept  # type: ignore[method-assign]
        row = page.get_by_role("row").filter(has_text="SendParcel")
        await expect(row).to_contain_text("retired")
        await expect(row).to_contain_text("queued")
        assert await someone.fits()
        await world.pass_time(600)
        await world.rounds(3)
        await expect(page.get_by_text("There is nothing to do.")).to_be_visible()


async def test_m77_deleted_for_good_after_a_question(place: PageWorld) -> None:
    """A-30: name, place and description are erased; contracts stay."""
    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        await place.enter(page, f"assets/{place.device}")
        await page.get_by_role("button", name="Delete").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("cannot be started again")
        await expect(dialog).to_contain_text("It still has")
        assert await someone.fits()
        await dialog.get_by_role("button", name="Cancel").click()
        assert (await place.owner.assets.all())[0].config.status == "running"
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
        row = page.get_by_role("row").filter(has_text="retired")
        await expect(row).to_be_visible()
        assert "Barn" not in await row.inner_text()
        (asset,) = await place.owner.assets.all()
        assert (asset.config.status, asset.config.name, asset.config.image) == ("retired", "", "")
        await place.enter(page, f"assets/{place.device}/transactions")
        assert len(await rows_of(page)) == 10
        assert await page.get_by_role("button", name="Delete").count() == 0


async def test_an_expired_session_ends_every_page(place: PageWorld) -> None:
    async with visit(place.browser) as someone:
        page = someone.page
        await place.enter(page, "transactions")
        await rows_of(page)
        place.world.clock.advance(DAY)
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_role("alert")).to_contain_text("The session has ended.")
