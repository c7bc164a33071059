"""The contracts that changed lately, by account: what most of those who ask a market want to hear, not from the disk.

Many accounts ask every few seconds and few have news, and what an account has behind it grows for years.
"""

from __future__ import annotations

from typing import Final

from node.app.core import Core
from node.projection.trade import Trade
from node.storage.deliveries import Position
from node.storage.journal import Applied

__all__ = ["RecentContracts"]

_MOST: Final = 5_000

_Moved = tuple[Position, Trade]


class RecentContracts:
    """Follows the journal from its making on; up to `most` contracts are at hand, those that changed last."""

    def __init__(self, core: Core, most: int = _MOST) -> None:
        self._views = core.storage.views
        self._most = most
        self._moved: dict[bytes, _Moved] = {}
        self._of: dict[bytes, dict[bytes, None]] = {}
        # Position of the last change of an account, also of those whose contracts are no longer at hand.
        self._last: dict[bytes, Position] = {}
        self._from: Position | None = None  # every change after it was heard
        # Of an account, the position after which every change is in `_moved`, where that is another one.
        self._whole: dict[bytes, Position] = {}
        # Of an account that asked, what the database had of it before `_from`. Anybody may ask, so the latest are kept.
        self._told: dict[bytes, Position] = {}
        core.storage.journal.subscribe(self._heard)

    def _heard(self, applied: Applied) -> None:
        for record in applied.records:
            if self._from is None and record.seq is not None:
                self._from = Position(record.seq - 1, b"\xff" * 32)
            for change in record.changes:
                if isinstance(change.state, Trade):
                    self._take(Position(record.seq or 0, change.state.contract_id), change.state)
        while len(self._moved) > self._most:
            at, trade = self._moved[next(iter(self._moved))]
            self._drop(trade.contract_id)
            for made in trade.made:
                for account in (made.seller, made.buyer):
                    self._whole[account] = max(at, self._whole.get(account, at))

    def _take(self, here: Position, trade: Trade) -> None:
        self._drop(here.key)
        if not trade.made:  # a reorganisation took it: the database does not have it either
            return
        self._moved[here.key] = (here, trade)
        for made in trade.made:
            for account in (made.seller, made.buyer):
                self._of.setdefault(account, {})[here.key] = None
                self._last[account] = max(here, self._last.get(account, here))

    def _drop(self, key: bytes) -> None:
        found = self._moved.pop(key, None)
        for made in found[1].made if found is not None else ():
            for account in (made.seller, made.buyer):
                of = self._of.get(account, {})
                of.pop(key, None)
                if not of:
                    self._of.pop(account, None)

    async def after(self, account: bytes, since: Position) -> list[_Moved] | None:
        """What changed for the account after the position, oldest change first; None where that is not known here."""
        if self._from is None:
            # Whatever comes from now on is heard; what was before has this number or a smaller one.
            self._from = Position(await self._views.head(), b"\xff" * 32)
        told = self._told.get(account)
        last = self._last.get(account, told)
        if last is not None and since >= last:
            return []
        if since < self._whole.get(account, self._from if told is None else told):
            return None
        found = (self._moved[key] for key in self._of.get(account, ()))
        return sorted(each for each in found if each[0] > since)

    def told(self, account: bytes, last: Position) -> None:
        """The database has nothing of the account after this position; what it hears of later comes here too."""
        if self._from is not None and last <= self._from:
            self._told.pop(account, None)
            self._told[account] = last
            if len(self._told) > 4 * self._most:
                del self._told[next(iter(self._told))]
