"""An asset that tells an owner who is away: each change at once, the same again ever more seldom."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from node.app.core import Core
from node.app.trading.asset import AssetRole
from node.app.trading.assetpool import AssetPool
from node.app.trading.assettelling import AssetTelling
from node.clock import ManualClock
from node.errors import NodeUnreachable
from node.projection.base import Peer
from tests.support.meetings import Facts


@pytest.mark.parametrize(("url", "letters"), [("", 4), ("http://home.example", 60)])
async def test_an_owner_that_is_away_finds_no_heap_of_letters(url: str, letters: int) -> None:
    """Only mailboxes keep what nobody takes; an address is tried each time."""
    clock, sent, away = ManualClock(1_000), list[Any](), True
    config = SimpleNamespace(status="running")

    async def send(peer: Peer, kind: str, body: Any) -> None:
        sent.append(body["status"])
        if away:
            raise NodeUnreachable("No answer.")

    async def of(value: Any) -> Any:
        return value

    pool = SimpleNamespace(config=lambda: of(config), operator=lambda: of(bytes(20)))
    asset = SimpleNamespace(
        account=lambda _: SimpleNamespace(address=bytes(20)), voice=SimpleNamespace(post=SimpleNamespace(send=send))
    )
    core = SimpleNamespace(storage=SimpleNamespace(memory=Facts()), clock=clock)
    owner = Peer(bytes(20), url, bytes(32))
    telling = AssetTelling(cast("Core", core), cast("AssetRole", asset), cast("AssetPool", pool), lambda: of(owner))
    for _ in range(60):
        await telling.step()
        clock.advance(3)
    assert sent == ["running"] * letters
    for status in ("paused", "running", "paused"):
        config.status = status
        await telling.step()
        assert sent[-1] == status
    away = False
    clock.advance(600)
    for _ in range(3):
        await telling.step()
    assert sent[letters:] == ["paused", "running", "paused", "paused"]
