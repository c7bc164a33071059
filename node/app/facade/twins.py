"""One look at a contract in all its copies: database, every party's log, the chain, and where they differ (M-82)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from channels.errors import ChannelError
from channels.twin import Told, TwinEntry
from channels.twin import Twin as Logs
from node.api.twins import FieldView, ForkView, TwinEntryView, TwinView
from node.app.core import Core
from node.app.trading.twins import Twins
from node.errors import NotFound
from node.projection.trade import Made, Trade, TradeStatus
from node.projection.twin import Twin, TwinStatus
from node.services.twin.compare import agree, compare
from node.services.twin.netrecords import net_records
from node.services.twin.proof import proven
from node.services.twin.records import Record, decode_record, records_of, summary
from node.types import to_hex

__all__ = ["TwinPart"]

_STATES: Final = tuple(status.value for status in TradeStatus)
"""By the number that the contract gives them (MarketTypes.sol, State)."""
_MOST_BLOCKS: Final = 256
"""Blocks that are looked up for one look: an honest contract names some ten."""


@dataclass(frozen=True, slots=True)
class TwinPart:
    """Implements `TwinFacade`; None on a node without a market contract."""

    core: Core
    twins: Twins | None

    async def twin(self, contract: bytes) -> TwinView:
        trade = await self.core.storage.views.one(Trade, contract)
        story = await self.twins.stories.one(contract) if self.twins is not None and trade.terms is None else None
        terms = trade.terms or story
        if self.twins is None or terms is None:
            raise NotFound("There is no contract of this id.", remedy="`wattpact market trades` lists them.")
        damage: str | None = None
        logs: Logs | None = None
        try:
            state, logs = await self.twins.logs(contract)
        except ChannelError as error:
            state, damage = await self.core.storage.views.one(Twin, contract), f"{error}."
        if state.status is TwinStatus.NONE:
            raise NotFound("This node holds no twin of this contract.", remedy="Ask its market or one of its partners.")
        parties = {state.operator: "market", terms.seller: "seller", terms.buyer: "buyer"}
        timeline = logs.timeline() if logs is not None else ()
        if story is not None:
            # Nothing of it is on chain but its day's batch; the roots over what the parties wrote are.
            lines = compare(_copies(summary(net_records(story, story.operator)), parties, timeline))
        else:
            lines = compare(await self._on_both(trade, state.operator, parties, timeline))
        proofs, unproven = await self._proofs(state)
        entries = await self._entries(timeline, parties, proofs)
        missing = tuple(
            f"{parties[author]} {first} to {last}" for author, first, last in (logs.missing() if logs else ())
        )
        contradicted = tuple(
            f"{parties[each.author]} {each.seq} and {parties[other.author]} {other.seq}"
            for each, other in (logs.contradictions if logs else ())
        )
        sound = not missing and not unproven and not contradicted and damage is None and state.status is TwinStatus.OPEN
        return TwinView(
            contract=contract,
            agrees=sound and agree(lines) and all(each.on_chain is not False for each in entries),
            fields=tuple(FieldView(field=each.field, values=dict(each.values), agrees=each.agrees) for each in lines),
            entries=entries,
            missing=missing,
            unproven=unproven,
            contradicted=contradicted,
            fork=_fork(state),
            damage=damage,
        )

    async def _on_both(
        self, trade: Trade, operator: bytes, parties: Mapping[bytes, str], timeline: Sequence[Told]
    ) -> dict[str, dict[str, Any]]:
        """What each copy says, the chain's too."""
        copies = _copies(summary(records_of(trade)), parties, timeline)
        assert trade.terms is not None  # noqa: S101 (asked for before)
        copies["chain"] = await self._on_chain(trade.terms, trade.contract_id, operator)
        return copies

    async def _on_chain(self, terms: Made, contract: bytes, operator: bytes) -> dict[str, Any]:
        """The contract's own storage, as of the newest final block."""
        market, final = self.core.chain.market, self.core.chain.final
        assert market is not None  # noqa: S101 (there are no twins without one)
        found = await market.contract(operator, contract, at=final)
        said: dict[str, Any] = {
            "wh": found.wh,
            "price": found.price,
            "escrowed": found.escrowed,
            "status": _STATES[found.state] if found.state < len(_STATES) else str(found.state),
        }
        for name, account, number in (("seller", terms.seller, found.seller), ("buyer", terms.buyer, found.buyer)):
            known = await market.number(operator, account, at=final)
            said[name] = to_hex(account) if known == number else f"member {number}"
        return said

    async def _proofs(self, state: Twin) -> tuple[dict[bytes, int], tuple[bytes, ...]]:
        """The block of the root over each entry, and the roots that are not where the market said."""
        market, found, unproven = self.core.chain.market, dict[bytes, int](), list[bytes]()
        assert market is not None  # noqa: S101 (there are no twins without one)
        views = await market.anchors()
        for anchor in state.anchors:
            if proven(anchor) and anchor.root in await views.roots_in(state.operator, anchor.height):
                found |= dict.fromkeys(anchor.hashes, anchor.height)
            else:
                unproven.append(anchor.root)
        return found, tuple(unproven)

    async def _entries(
        self, timeline: Sequence[Told], parties: Mapping[bytes, str], proofs: Mapping[bytes, int]
    ) -> tuple[TwinEntryView, ...]:
        records = [_record(told) or {} for told in timeline]
        heights = sorted({height for record in records if (height := _height(record)) is not None})[:_MOST_BLOCKS]
        blocks = dict(zip(heights, await self.core.chain.rpc.blocks(heights), strict=True))
        found = []
        for told, record in zip(timeline, records, strict=True):
            height = _height(record)
            block = blocks.get(height) if height is not None else None
            same = block is not None and to_hex(block.header.hash) == record.get("block_hash")
            found.append(
                TwinEntryView(
                    author=told.entry.author,
                    party=parties[told.entry.author],
                    seq=told.entry.seq,
                    at=told.entry.at,
                    hash=told.entry.hash,
                    message=dict(record),
                    signature=to_hex(told.entry.signature),
                    anchored=proofs.get(told.entry.hash),
                    on_chain=same if "block" in record else None,
                )
            )
        return tuple(found)


def _copies(
    database: dict[str, Any], parties: Mapping[bytes, str], timeline: Sequence[Told]
) -> dict[str, dict[str, Any]]:
    """What the database and each log say; a party that has written nothing has no copy yet."""
    copies = {"database": database}
    for author, name in parties.items():
        records = [_record(told) for told in timeline if told.entry.author == author]
        if records:
            copies[f"{name}'s log"] = summary([record for record in records if record is not None])
    return copies


def _record(told: Told) -> Record | None:
    return decode_record(told.content)


def _height(record: Record) -> int | None:
    """The block that a record names, if it is one: what another party wrote may be anything."""
    found = record.get("block")
    return found if isinstance(found, int) and 0 <= found < 2**53 else None


def _fork(state: Twin) -> ForkView | None:
    if not state.fork:
        return None
    first, second = state.fork
    return ForkView(author=TwinEntry.decode(second).author, first=to_hex(first), second=to_hex(second))
