"""Proof of when a twin's entries were there: the market anchors one root over all that came since the last time.

One batch at a time: it is noted before it is sent, so after a crash the same batch goes on. Once it is final, every
holder of a twin gets the paths of its entries, and anybody can check them against the chain alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from channels.errors import ChannelError
from channels.twin import TwinEntry
from contracts.nettings import leaf_of, merkle_paths, merkle_root
from keys import messages as m
from node.app.core import Core
from node.app.services import looped
from node.ledger.anchors import AnchorViews
from node.ledger.transaction import TxState
from node.projection.twin import Twin
from node.projection.twin_events import RequestedTwinAnchor, TwinAnchor
from node.runtime.supervisor import Service
from node.types import short_id
from node.wire.twins import MAX_PROVEN

__all__ = ["Anchoring"]

_log = structlog.get_logger(__name__)

EVERY_S = 5.0
VALID_S = 86_400
AT_ONCE = 500
_PENDING = ("twin_anchor", "pending")
_LAST = ("twin_anchor", "last")


class Anchoring:
    """The operator is this node's wallet; the sender pays the gas."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._operator = core.keys.identity.wallet()

    def service(self) -> Service:
        return Service("anchors", looped(asyncio.Event(), self.step, EVERY_S))

    async def step(self) -> bool:
        """Brings the batch on its way one step further, or makes the next one when it is time."""
        market, facts = self._core.chain.market, self._core.storage.memory.facts
        if market is None:
            return False
        views = await market.anchors()
        pending, last = await facts.get(*_PENDING), await facts.get(*_LAST)
        if pending is not None:
            await self._follow(views, pending)
        elif last is None:
            await self._core.storage.memory.keep((), [(*_LAST, self._core.clock.now())])  # the first batch gathers, too
        elif self._core.clock.now() >= last + self._core.settings.market.anchor_every_s:
            await self._gather(views)
        return False

    async def _gather(self, views: AnchorViews) -> None:
        rows = await self._core.storage.views.page(Twin, link=("unanchored", b"\x01"), limit=AT_ONCE)
        twins = [twin for _, twin in reversed(rows)]
        # In the order in which the note comes back: JSON objects are kept by name, and a tree is one order of leaves.
        twins.sort(key=lambda twin: twin.contract_id)
        leaves = {twin.contract_id: found for twin in twins if (found := _fresh(twin))}
        hashes = [each for found in leaves.values() for each in found]
        if not hashes:
            return
        message = m.Anchor(
            operator=self._operator.address,
            prev=await views.head(self._operator.address),
            root=merkle_root([leaf_of(each) for each in hashes]),
            count=len(hashes),
            deadline=self._core.clock.now() + VALID_S,
        )
        domain = m.anchors_domain(self._core.settings.chain.chain_id, views.address)
        batch = {
            "prev": message.prev.hex(),
            "root": message.root.hex(),
            "deadline": message.deadline,
            "digest": m.digest(message, domain).hex(),
            "signature": (await self._operator.sign_message(message, domain)).hex(),
            "leaves": {contract.hex(): [each.hex() for each in found] for contract, found in leaves.items()},
        }
        await self._core.storage.memory.keep((), [(*_PENDING, batch)])
        await self._follow(views, batch)

    async def _follow(self, views: AnchorViews, batch: Mapping[str, Any]) -> None:
        sender, key = self._core.chain.sender, bytes.fromhex(batch["digest"])
        found = await sender.find(key)
        if found is None:
            hashes = [bytes.fromhex(each) for leaves in batch["leaves"].values() for each in leaves]
            message = m.Anchor(
                self._operator.address,
                bytes.fromhex(batch["prev"]),
                bytes.fromhex(batch["root"]),
                len(hashes),
                batch["deadline"],
            )
            await sender.submit(key, views.anchor(message, bytes.fromhex(batch["signature"])))
        elif found.state is TxState.REFUSED:
            # The head moved meanwhile, or the deadline passed: what is not anchored is gathered anew.
            _log.warning("anchor_refused", reason=str(found.reason))
            await self._core.storage.memory.keep((), [(*_PENDING, None)])
        elif found.state is TxState.FINAL and found.inclusion is not None:
            await self._arrived(batch, found.inclusion.block_number)

    async def _arrived(self, batch: Mapping[str, Any], height: int) -> None:
        """Every twin gets the paths of its own entries."""
        leaves = {bytes.fromhex(k): [bytes.fromhex(each) for each in found] for k, found in batch["leaves"].items()}
        tree = [leaf_of(each) for found in leaves.values() for each in found]
        paths = iter(merkle_paths(tree))
        now, root = self._core.clock.now(), bytes.fromhex(batch["root"])
        if merkle_root(tree) != root:
            _log.error("anchor_not_of_these", root=batch["root"], entries=len(tree))
            await self._core.storage.memory.keep((), [(*_PENDING, None)])  # nobody could prove anything by it
            return
        events = []
        for contract, hashes in leaves.items():
            own = tuple(b"".join(next(paths)) for _ in hashes)
            events.append(RequestedTwinAnchor(contract, TwinAnchor(root, height, tuple(hashes), own), now))
        await self._core.storage.memory.keep(events, [(*_PENDING, None), (*_LAST, now)])
        self._core.wake()
        _log.info("twins_anchored", twins=len(leaves), entries=len(tree), block=height)


def _fresh(twin: Twin) -> list[bytes]:
    """The hashes that no root covers yet, as many as one proof may hold. A damaged twin holds up no other."""
    try:
        return [TwinEntry.decode(entry).hash for entry in twin.entries[twin.anchored :][:MAX_PROVEN]]
    except ChannelError as damage:
        _log.error("twin_damaged", contract=short_id(twin.contract_id), reason=str(damage))
        return []
