"""The story with nodes that lose their databases: the real decoder, reducers, journal and reader make them anew."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from node.app.demo.evidence import Block, Rebuild
from node.clock import ManualClock
from node.ledger.registry import RegistryDecoder
from node.ledger.wire import RawLog
from node.projection.base import Event
from node.projection.consent import Consent
from node.projection.device import Device
from node.projection.events import LoggedFinalized, LoggedRolledBack
from node.projection.stream import Stream
from node.storage.database import Database
from node.storage.journal import Journal
from node.storage.views import Views
from tests.unit.app.demo.ledger import REGISTRY
from tests.unit.app.demo.party import Party
from tests.unit.app.demo.world import World

__all__ = ["JournalWorld", "Step"]

Step: TypeAlias = list[Event]
"""What one call of the journal takes in."""


class JournalWorld(World):
    """Before: a journal that saw every block when it came, reorg included. After: one that is told the chain as it
    stands, from its beginning. The home reads as C does."""

    async def rebuild(self) -> tuple[Rebuild, ...]:
        before, after = await _shown(self.lived()), await _shown(self.replayed())
        party = self.parties["C"]
        had = {self.sid: tuple(party.readings)}
        has = {self.sid: tuple(self._read_again(party))}
        streams = ("streams", "pairing")
        return (
            Rebuild("home", before, after, had, has),
            Rebuild("gateway", {part: before[part] for part in streams}, {part: after[part] for part in streams}),
        )

    def lived(self) -> list[Step]:
        """Every block that was ever head, with the roll-back that a reorg makes of it."""
        steps: list[Step] = []
        tip: Block | None = None
        for block in self.ledger.seen:
            back: Step = [] if tip is None or block.parent == tip.hash else [LoggedRolledBack(block.number - 1)]
            steps.append([*back, *_told(block)])
            tip = block
        return steps

    def replayed(self) -> list[Step]:
        """The chain as it stands."""
        return [_told(block) for block in self.ledger.chain]

    def log(self) -> list[bytes]:
        """The envelopes that the rebuilt node finds in its log."""
        return [item.payload for item in self.heard if item.kind == "data"]

    def _read_again(self, party: Party) -> Sequence[Any]:
        """With its keys a new reader goes through the log."""
        assert party.reader is not None
        again = Party(party.letter, party.key, reader=self.fresh(party, party.reader))
        assert again.reader is not None
        again.keep(self.opened(again.reader.open(self.log())))
        return again.readings


def _told(block: Block) -> Step:
    """The events of a block, and what is final with it: all but the block itself."""
    decoder = RegistryDecoder()
    raw = [
        RawLog(REGISTRY, log.topics, log.data, block.number, block.hash, log.transaction, index)
        for index, log in enumerate(block.logs)
    ]
    found = [decoder.decode(log) for log in raw]
    return [*(event for event in found if event is not None), LoggedFinalized(block.number - 1, block.timestamp)]


async def _shown(steps: Sequence[Step]) -> dict[str, Any]:
    """What a node lists whose journal, in a database of its own, took these in."""
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite:///{Path(folder) / 'node.db'}")
        journal, views = Journal(database, ManualClock(1)), Views(database)
        try:
            for step in steps:
                await journal.apply(step)
            await journal.verify()
            streams = [stream for _, stream in await views.page(Stream)]
            consents = [consent for _, consent in await views.page(Consent)]
            devices = [device for _, device in await views.page(Device)]
        finally:
            await journal.close()
            await database.close()
    return {
        "streams": sorted((s.sid.hex(), s.epoch, s.writer.hex()) for s in streams),
        "consents": sorted((c.grant_id.hex(), c.status.value) for c in consents),
        "pairing": sorted((d.device_hash.hex(), d.status.value) for d in devices),
    }
