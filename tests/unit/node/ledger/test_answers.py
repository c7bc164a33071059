"""A contract that answers nonsense is an endpoint's fault with a name, whichever contract it is."""

from __future__ import annotations

from typing import Any, cast

import pytest

from node.ledger.energy import EnergyViews
from node.ledger.errors import RpcGarbled, RpcRefused
from node.ledger.market import MarketViews, Money
from node.ledger.reader import ChainReader

ADDRESS = b"\x01" * 20


class Garbling:
    """An endpoint that answers one byte, whatever is asked."""

    async def call(self, *_: Any, **__: Any) -> bytes:
        return b"\x01"

    async def call_many(self, calls: Any, **__: Any) -> list[bytes]:
        return [b"\x01"] * len(calls)


@pytest.mark.parametrize(("views", "says"), [(EnergyViews, "energy token"), (MarketViews, "market"), (Money, "token")])
async def test_an_answer_that_does_not_parse_is_garbled(views: Any, says: str) -> None:
    found = views(cast(ChainReader, Garbling()), ADDRESS)
    asked = [found.nonce(ADDRESS), found.domain()] if views is Money else []
    asked += [found.positions([7], ADDRESS)] if views is EnergyViews else []
    last = found.balance(ADDRESS, ADDRESS) if views is MarketViews else found.balance(ADDRESS)
    for question in (*asked, last):
        with pytest.raises(RpcGarbled, match=says):
            await question


class Capped(ChainReader):
    """An endpoint that refuses every question about more than so many blocks. One log in each block."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked: list[tuple[int, int]] = []

    async def request(self, method: str, params: Any) -> Any:
        raise AssertionError(method)

    async def request_many(self, calls: Any) -> list[Any]:
        raise AssertionError(calls)

    async def logs(self, addresses: Any, first: int, last: int, topics: Any = ()) -> tuple[Any, ...]:
        if last - first >= self.most:
            raise RpcRefused(-32005, "too many blocks")
        self.asked.append((first, last))
        return tuple(range(first, last + 1))


@pytest.mark.parametrize("most", [1, 7, 1_000, 10_000])
async def test_a_long_range_is_read_in_parts_as_small_as_the_endpoint_wants_them(most: int) -> None:
    reader = Capped(most)
    found: tuple[Any, ...] = await reader.logs_over([ADDRESS], 5, 3_004)
    assert found == tuple(range(5, 3_005))
    assert max(last - first for first, last in reader.asked) < min(most, 2_048)


async def test_an_endpoint_that_refuses_one_block_has_said_no() -> None:
    with pytest.raises(RpcRefused):
        await Capped(0).logs_over([ADDRESS], 5, 3_004)
