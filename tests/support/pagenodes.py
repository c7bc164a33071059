"""People at the pages of real nodes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser

from tests.support.browser import DESKTOP, Visit, visit
from tests.support.nodes import NodeProcess
from tests.support.processes import PROGRAM, Process

__all__ = ["at", "link"]


async def link(node: NodeProcess, *more: str) -> str:
    """What `wattpact open` prints for a person."""
    log = node.folder / "open.log"
    log.unlink(missing_ok=True)
    process = Process("open", (*PROGRAM, "--config", str(node.config), "open", "--json", *more), log)
    await process.start()
    assert await process.ended() == 0, process.said()
    url: str = json.loads(process.said())["url"]
    return url


@asynccontextmanager
async def at(
    browser: Browser,
    node: NodeProcess,
    where: str,
    size: tuple[int, int] = DESKTOP,
    *scope: str,
    zone: str = "UTC",
) -> AsyncIterator[Visit]:
    """Somebody logged in by a fresh link, at a page (what stands behind `#/`); phones are dark."""
    async with visit(browser, size, dark=size != DESKTOP, zone=zone) as someone:
        await someone.page.goto(await link(node, *scope))
        await someone.page.get_by_role("button", name="Log out").wait_for()
        await someone.page.evaluate("where => { location.hash = where; }", f"#/{where}")
        yield someone
