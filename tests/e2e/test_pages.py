"""The pages of a real node in a real Chromium: log in by a one-time link, overview, wallet, log out (M-71 to M-73)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from tests.support.browser import DESKTOP, PHONE, chromium, visit
from tests.support.nodes import NodeProcess, Surroundings
from tests.support.processes import PROGRAM, Process, free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain]

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


@dataclass(frozen=True, slots=True)
class Place:
    """A household that is also a market, and a browser."""

    node: NodeProcess
    browser: Browser

    async def link(self, *more: str) -> str:
        """What `wattpact open` prints for a person."""
        log = self.node.around.root / "open.log"
        log.unlink(missing_ok=True)
        command = (*PROGRAM, "--config", str(self.node.config), "open", "--json", *more)
        process = Process("open", command, log)
        await process.start()
        assert await process.ended() == 0, process.said()
        url: str = json.loads(process.said())["url"]
        assert url.startswith(f"{self.node.url}/#open=")
        return url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    root: Path = tmp_path_factory.mktemp("pages")
    async with Devnet(DevnetOptions(AnvilOptions(block_time=1.0), settlement=True)) as devnet, chromium() as browser:
        registry, port = devnet.registry, free_port()
        around = Surroundings(
            root, devnet.url, devnet.chain_id, "0x" + registry.address.hex(), registry.block, f"mqtt://127.0.0.1:{port}"
        )
        settings: dict[str, object] = {
            "node.roles": ("home", "market"),
            "node.name": f"House {HOSTILE}",
            "settlement.market": "0x" + devnet.contracts.find("Market").address.hex(),
        }
        node = NodeProcess("house", "home", around, settings)
        node.init()
        await devnet.fund(node.sender().address)
        try:
            await node.start()
            yield Place(node, browser)
        finally:
            await node.process.end()


async def test_m71_a_link_logs_in_once_and_log_out_stands_below_the_sidebar(place: Place) -> None:
    url = await place.link()
    async with visit(place.browser) as someone:
        page = someone.page
        await page.goto(place.node.url)
        await expect(page.get_by_text("You are not logged in.")).to_be_visible()
        assert "wattpact open" in await someone.text()
        await page.goto(url)
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        assert page.url == f"{place.node.url}/#/", "the secret stays in no history"
        (cookie,) = await page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
        assert await page.evaluate("document.cookie") == ""
        # Somebody else finds the link: it says that it was used.
        async with visit(place.browser) as thief:
            await thief.page.goto(url)
            await expect(thief.page.get_by_role("alert")).to_contain_text("used already")
            assert "wattpact open" in await thief.text()
        # The page is reloaded: the session is still there. Logged out: it is gone, also for a copy of the cookie.
        await page.reload()
        out = page.get_by_role("button", name="Log out")
        box, side = await out.bounding_box(), await page.locator("aside").bounding_box()
        assert box is not None
        assert side is not None
        assert box["y"] > side["height"] * 0.8, "at the sidebar's bottom"
        await out.click()
        await expect(page.get_by_text("You are not logged in.")).to_be_visible()
        await page.context.add_cookies([{"name": cookie["name"], "value": cookie["value"], "url": place.node.url}])
        await page.reload()
        await expect(page.get_by_text("You are not logged in.")).to_be_visible()


async def test_m72_the_overview_shows_the_node_and_a_script_in_its_name_is_text(place: Place) -> None:
    async with visit(place.browser, PHONE, dark=True) as someone:
        page = someone.page
        await page.goto(await place.link("--scope", "read"))
        section = page.locator("section", has=page.get_by_role("heading", name="This node"))
        await expect(section).to_contain_text(f"House {HOSTILE}")
        assert await page.title() == "Overview · Wattpact"
        for word in ("home", "market", "block", "unpaired"):
            await expect(section).to_contain_text(word)
        # There is no broker at its port: said, and what to do.
        needs = page.locator("section", has=page.get_by_role("heading", name="Needs you"))
        await expect(needs).to_contain_text("broker")
        await expect(needs).to_contain_text("Check broker.url")
        await expect(page.get_by_text("No asset is set up yet.")).to_be_visible()
        assert await page.get_by_role("link", name="Add a device").count() == 0, "who may only look is offered no deed"
        assert await page.get_by_role("button", name="Withdraw").count() == 0
        assert await someone.fits()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_m73_main_wallet_add_funds_and_withdraw(place: Place, size: tuple[int, int]) -> None:
    """With the devnet's money; what cannot be is refused with a sentence and what to do."""
    async with visit(place.browser, size) as someone:
        page = someone.page
        await page.goto(await place.link())
        wallet = page.get_by_label("Main wallet")
        await expect(wallet).to_contain_text("DEV")
        before = await _balance(place)
        await wallet.get_by_role("button", name="Add funds").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text((await place.node.get("/wallet"))["account"])
        await dialog.get_by_label("Make DEV").fill("12.5")
        assert await someone.fits()
        await dialog.get_by_role("button", name="Make test money").click()
        after = before + 12_500_000
        await expect(wallet).to_contain_text(f"{after // 10**6}.{after % 10**6:06d}"[:-4])
        assert await _balance(place) == after
        await wallet.get_by_role("button", name="Withdraw").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("To the address").fill("0x" + "0e" * 20)
        await dialog.get_by_label("Amount in DEV").fill("999")
        await dialog.get_by_role("button", name="Withdraw").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("Add funds to it first.")
        await dialog.get_by_label("Amount in DEV").fill("twelve")
        await dialog.get_by_role("button", name="Withdraw").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("The amount is a number such as 12.5.")
        await dialog.get_by_label("Amount in DEV").fill("2,25")
        await dialog.get_by_role("button", name="Withdraw").click()
        await expect(dialog).to_have_count(0)
        left = after - 2_250_000
        await expect(wallet).to_contain_text(f"{left // 10**6}.{left % 10**6:06d}"[:-4])
        assert await _balance(place) == left


async def test_m74_without_a_gateway_the_form_first_asks_for_its_code(place: Place) -> None:
    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        await page.goto(await place.link())
        await page.get_by_role("link", name="Add a device").click()
        await expect(page.get_by_text("No gateway is paired with this home yet.")).to_be_visible()
        await page.get_by_label("Code, or the text of the QR code").fill("WATTPACT-PAIR:1:nonsense")
        await page.get_by_role("button", name="Pair").click()
        alert = page.get_by_role("alert")
        await expect(alert).to_be_visible()
        assert len([line for line in (await alert.inner_text()).splitlines() if line]) == 2, "a sentence and a remedy"
        assert await someone.fits()


async def test_a_session_that_was_revoked_ends_the_page_with_what_to_do(place: Place) -> None:
    """ASVS V7: sessions are listed and can be killed."""
    async with visit(place.browser) as someone:
        page = someone.page
        await page.goto(await place.link())
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        for token in await place.node.items("/tokens"):
            assert token["name"] == "browser"
            assert token["expires_at"] is not None
            await place.node.raw("DELETE", f"/tokens/{token['id']}")
        await expect(page.get_by_role("alert")).to_contain_text("The session has ended.")
        assert "wattpact open" in await someone.text()


async def test_csrf_a_page_on_another_port_moves_nothing(place: Place) -> None:
    """Same host, so the cookie is sent; but not from this node's own page."""
    async with visit(place.browser) as someone:
        page = someone.page
        await page.goto(await place.link())
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        tokens = await place.node.items("/tokens")
        # A second server of this machine: the same files, another Origin.
        other = NodeProcess("other", "home", place.node.around)
        await page.route(f"{other.url}/**", lambda route: route.fulfill(body="<p>evil</p>", content_type="text/html"))
        await page.goto(other.url)
        target = f"{place.node.url}/pages/session"
        for script in (
            f"fetch('{target}', {{method: 'DELETE', credentials: 'include'}})",
            f"fetch('{target}', {{method: 'DELETE', credentials: 'include', headers: {{'X-Wattpact-Page': '1'}}}})",
            f"fetch('{target}', {{credentials: 'include', headers: {{'X-Wattpact-Page': '1'}}}}).then((r) => r.text())",
        ):
            assert await page.evaluate(f"{script}.then(() => 'done', () => 'refused')") == "refused"
        form = f"""() => {{ const form = document.createElement('form'); form.method = 'POST'; form.action = '{target}';
            document.body.append(form); form.submit(); }}"""
        async with page.expect_response(target) as answered:
            await page.evaluate(form)
        assert (await answered.value).status in (403, 415)
        someone.complaints.clear()  # what the browser says of all these refusals
        assert await place.node.items("/tokens") == tokens


async def _balance(place: Place) -> int:
    balance: int = (await place.node.get("/wallet"))["balance"]
    return balance
