"""Netted contracts as their digital twins tell them, at the market that made them and at the assets that took them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from channels.twin import Twin as Logs
from node.app.trading.asset import AssetRole
from node.app.trading.market import MarketRole
from node.services.twin.netrecords import NetStory, counted_in
from node.services.twin.records import decode_record

__all__ = ["NetStories"]


class NetStories:
    """Of one node; it may be a market, an asset, both or neither."""

    def __init__(self, market: MarketRole | None, asset: AssetRole | None) -> None:
        self._market = market
        self._asset = asset

    async def changed(self) -> tuple[bytes, ...]:
        """Contracts of which there is something new to write down; at the start, those that a crash may have left, too.
        They are told again until they are `seen`."""
        found: set[bytes] = set()
        if self._market is not None:
            found |= {bytes.fromhex(name) for name in await self._market.netting.contracts.news.look()}
        if self._asset is not None:
            found |= await self._asset.netted.changed()
        return tuple(sorted(found))

    async def seen(self, contracts: Sequence[bytes]) -> None:
        """What `changed` told is written down."""
        if self._market is not None:
            await self._market.netting.contracts.news.seen([key.hex() for key in contracts])
        if self._asset is not None:
            await self._asset.netted.told()

    async def one(self, contract_id: bytes) -> NetStory | None:
        """None for a contract that is not netted, or of others."""
        found = await self._market.netting.contracts.story(contract_id) if self._market is not None else None
        if found is None and self._asset is not None:
            found = await self._asset.netted.story(contract_id)
        return found

    def heard(self, contract_id: bytes) -> None:
        """A party wrote something into a contract's twin."""
        if self._asset is not None:
            self._asset.netted.look_again(contract_id)

    async def agreed(self, story: NetStory, logs: Logs) -> NetStory:
        """At an asset: with what counts by the market's word, where that fits what this asset knows."""
        if self._asset is None or story.due is not None:
            return story
        for told in logs.log(story.operator):
            record = decode_record(told.content)
            counted = counted_in(record) if record is not None else None
            if counted is not None and await self._asset.netted.agree(story, counted):
                return replace(story, due=counted)
        return story
