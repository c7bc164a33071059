"""A real Chromium for tests of the pages: started once a file, a fresh profile for each person."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from tests.support.processes import ROOT

__all__ = ["DESKTOP", "PHONE", "Visit", "chromium", "visit"]

_SECONDS = 60
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
PHONE, DESKTOP = (360, 740), (1280, 860)
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-gpu")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's own Chromium. AssertionError where there is none; scripts/system-packages installs it."""
    program = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
    assert program is not None, "no Chromium on PATH: scripts/system-packages installs it"
    expect.set_options(timeout=_SECONDS * 1_000)
    async with async_playwright() as engine:
        browser = await engine.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(slots=True)
class Visit:
    """One person's page. `complaints`: errors of scripts, and whatever the policy of the pages had to stop."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    async def fits(self) -> bool:
        """Whether nothing has to be pushed sideways."""
        wide: bool = await self.page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
        return wide

    async def barriers(self) -> list[str]:
        """What axe finds that would keep somebody out (WCAG 2.2 A and AA, best practice)."""
        await self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: list[str] = await self.page.evaluate(
            """async () => {
              const values = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
              const { violations } = await axe.run(document, { runOnly: { type: "tag", values } });
              return violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(" ")}`);
            }"""
        )
        return found

    async def text(self) -> str:
        return await self.page.locator("body").inner_text()


@asynccontextmanager
async def visit(
    browser: Browser, size: tuple[int, int] = DESKTOP, *, dark: bool = False, zone: str = "UTC"
) -> AsyncIterator[Visit]:
    """A profile of its own: nobody else's cookies. Times are those of the zone."""
    width, height = size
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        timezone_id=zone,
        locale="en-GB",
        has_touch=width < 640,
    )
    context.set_default_timeout(_SECONDS * 1_000)
    found = Visit(await context.new_page())

    def heard(message: ConsoleMessage) -> None:
        # That a call was refused is what some tests are about; the page says it in words.
        if message.type == "error" and "Failed to load resource" not in message.text:
            found.complaints.append(message.text)

    found.page.on("console", heard)
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    try:
        yield found
        assert found.complaints == []
    finally:
        await context.close()
