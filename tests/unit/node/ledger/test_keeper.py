"""Waiting for a transaction: told once it is far enough, and nothing kept for who no longer waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.ledger.transaction import TxState
from tests.support.sending import key, settle, world

pytestmark = pytest.mark.chain


async def test_who_stops_waiting_leaves_nothing_behind(tmp_path: Path) -> None:
    """An interface that gives up on slow transactions, over and over, must not grow for ever."""
    async with world(tmp_path) as w, w.sender() as sender:
        await sender.submit(key("a"), w.call())
        for _ in range(3):
            given_up = [asyncio.create_task(sender.wait(key(name))) for name in ("a", "a", "never submitted")]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert sender.keeper.waited_for == 2
            for task in given_up:
                task.cancel()
            await asyncio.wait(given_up)
            assert sender.keeper.waited_for == 0
        others = [asyncio.create_task(sender.wait(key("a"), until)) for until in (TxState.SENT, TxState.FINAL)]
        await settle(w, sender, 2)
        assert [(await each).state for each in others] == [TxState.SENT, TxState.FINAL]
        assert sender.keeper.waited_for == 0
