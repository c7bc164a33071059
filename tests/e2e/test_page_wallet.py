"""The owner's wallet in the browser: signs in by EIP-4361, and signs consents as EIP-712 that the node pays for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.e2e.conftest import Clusters
from tests.support.browser import DESKTOP, PHONE, Visit, chromium, visit
from tests.support.browserwallet import BrowserWallet
from tests.support.cluster import Cluster, Plan
from tests.support.processes import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]


@dataclass(frozen=True, slots=True)
class Place:
    cluster: Cluster
    browser: Browser

    def wallet(self, *, chain_id: int | None = None) -> BrowserWallet:
        """Set up with the node's recovery words: its first account owns the streams."""
        here = self.cluster.devnet.chain_id
        key = self.cluster.home.identity.wallet().to_bytes()
        return BrowserWallet(key, chain_id or here, known=(here,))

    async def come(self, someone: Visit, wallet: BrowserWallet) -> None:
        await wallet.install(someone.page)
        await someone.page.goto(self.cluster.home.url)

    async def signed_in(self, someone: Visit, wallet: BrowserWallet, where: str = "") -> None:
        await self.come(someone, wallet)
        await someone.page.get_by_role("button", name="Sign in with Test wallet").click()
        await someone.page.get_by_role("button", name="Log out").wait_for()
        await someone.page.evaluate("where => { location.hash = where; }", f"#/{where}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(clusters: Clusters) -> AsyncIterator[Place]:
    async with clusters(Plan()) as cluster, chromium() as browser:
        await cluster.pair()
        yield Place(cluster, browser)


async def test_the_owner_signs_in_without_a_link_and_the_signature_counts_once(place: Place) -> None:
    wallet = place.wallet()
    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        await place.come(someone, wallet)
        button = page.get_by_role("button", name="Sign in with Test wallet")
        await expect(button).to_be_visible()
        assert await someone.barriers() == []
        assert await someone.fits()
        async with page.expect_request("**/pages/session/wallet") as sent:
            await button.click()
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        ((data, _address),) = wallet.signed("personal_sign")
        told = bytes.fromhex(data[2:]).decode()
        host = place.cluster.home.url.removeprefix("http://")
        assert told.startswith(f"{host} wants you to sign in with your Ethereum account:\n{wallet.account.address}\n")
        (cookie,) = await page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        await page.get_by_role("button", name="Log out").click()
        await expect(button).to_be_visible()
        # Whoever saw the call sends it again, from this very page.
        body = (await sent.value).post_data
        status = await page.evaluate(
            """async body => {
              const headers = { "X-Wattpact-Page": "1", "Content-Type": "application/json" };
              return (await fetch("pages/session/wallet", { method: "POST", body, headers })).status;
            }""",
            body,
        )
        assert status == 401
        await page.reload()
        await expect(page.get_by_text("You are not logged in.")).to_be_visible()


async def test_other_accounts_and_a_no_are_said_with_what_to_do(place: Place) -> None:
    wallet = place.wallet()
    async with visit(place.browser, DESKTOP, dark=True) as someone:
        page = someone.page
        await place.come(someone, wallet)
        button, alert = page.get_by_role("button", name="Sign in with Test wallet"), page.get_by_role("alert")
        wallet.refuses = True
        await button.click()
        await expect(alert).to_contain_text("You said no in the wallet.")
        assert await someone.barriers() == []
        wallet.refuses, wallet.key = False, b"\x05" * 32
        await button.click()
        await expect(alert).to_contain_text(f"{wallet.account.address} is not this node's account.")
        await expect(alert).to_contain_text(place.wallet().account.address)
        assert len(wallet.signed("personal_sign")) == 1, "what was refused; another account is not even asked to sign"
        someone.complaints.clear()


async def test_a_node_without_a_wallet_in_the_browser_says_so(place: Place) -> None:
    async with visit(place.browser, PHONE) as someone:
        await someone.page.goto(place.cluster.home.url)
        await expect(someone.page.locator("main")).to_contain_text("there is none")
        assert await someone.page.get_by_role("button").count() == 0


async def test_a_consent_is_granted_and_revoked_by_the_wallet_and_the_node_pays(place: Place) -> None:
    """The wallet has no money at all; it is on another chain at first, and is asked to switch."""
    cluster, wallet = place.cluster, place.wallet(chain_id=1)
    assert await cluster.balance(bytes.fromhex(wallet.account.address[2:])) == 0
    await cluster.ask("alpha")
    async with visit(place.browser, PHONE) as someone:
        page = someone.page
        await place.signed_in(someone, wallet, "consents")
        await page.get_by_role("button", name="Grant").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Signed by").select_option("Test wallet")
        assert await someone.barriers() == []
        assert await someone.fits()
        wallet.refuses = True
        await dialog.get_by_role("button", name="Grant").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("You said no in the wallet.")
        assert (await cluster.home.items("/consents")) == []
        wallet.refuses = False
        await dialog.get_by_role("button", name="Grant").click()
        await expect(dialog).to_have_count(0)
        row = page.get_by_role("row").filter(has_text="alpha")
        await expect(row).to_contain_text("live")
        (given,) = await cluster.home.items("/consents")
        assert wallet.chain_id == cluster.devnet.chain_id
        await cluster.flows("alpha")
        await row.get_by_role("link", name="alpha").click()
        await page.get_by_role("button", name="Revoke").click()
        await dialog.get_by_label("Signed by").select_option("Test wallet")
        assert await someone.barriers() == []
        await dialog.get_by_role("button", name="Revoke").click()
        await expect(page.locator(".title-row")).to_contain_text("revoked")

    async def known() -> bool:
        found = await cluster.nodes["alpha"].get(f"/consents/{given['grant_id']}")
        return bool(found["state"] == "revoked")

    await until("the provider knows", known)
    assert await cluster.balance(bytes.fromhex(wallet.account.address[2:])) == 0
    kinds = [json.loads(document)["primaryType"] for _, document in wallet.signed("eth_signTypedData_v4")]
    assert kinds == ["Grant", "Grant", "Revoke"], "the first one was refused"


async def test_a_wallet_of_another_account_cannot_sign_a_consent(place: Place) -> None:
    cluster, wallet = place.cluster, place.wallet()
    await cluster.ask("alpha")
    async with visit(place.browser, DESKTOP) as someone:
        page = someone.page
        await place.signed_in(someone, wallet, "consents")
        wallet.key = b"\x05" * 32
        await page.get_by_role("button", name="Grant").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Signed by").select_option("Test wallet")
        await dialog.get_by_role("button", name="Grant").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("which owns the streams")
        assert wallet.signed("eth_signTypedData_v4") == []
