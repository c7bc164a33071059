"""What is left of debts that lead back to where they came from: the same sum is taken off every one of such a ring.

Nobody's balance with all others changes by it, so each party can judge its own part alone: what is taken off its debts
is what is taken off its claims. Pure, whole minor units, and free of order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from node.services.market.netting import NetLine

__all__ = ["set_off"]


def set_off(lines: Iterable[NetLine]) -> dict[bytes, int]:
    """Minor units that stay owed of each line, by its leaf, 0 where nothing does.

    What stays is free of rings, so somebody always owes without waiting for a debt of its own to be paid first. Each
    step takes at least one line out for good; a line is looked at as often as rings go through it.
    """
    distinct = sorted(set(lines))
    owed = {line.leaf: line.amount for line in distinct}
    debts: dict[bytes, list[NetLine]] = {}
    for line in distinct:
        debts.setdefault(line.debtor, []).append(line)
    search = _Search(owed, debts)
    for account in sorted(debts):
        search.run(account)
    return owed


class _Search:
    """Depth first. Through an account that is done no ring leads any more: debts only ever become less."""

    def __init__(self, owed: dict[bytes, int], debts: dict[bytes, list[NetLine]]) -> None:
        self._owed = owed
        self._debts = {account: iter(lines) for account, lines in debts.items()}
        self._here: dict[bytes, NetLine | None] = {}
        self._done: set[bytes] = set()

    def run(self, start: bytes) -> None:
        path, places, account = list[NetLine](), dict[bytes, int](), start
        while account not in self._done:
            line = self._next(account)
            if line is None:
                self._done.add(account)
                if path:
                    account = path.pop().debtor
                    del places[account]
                continue
            places[account] = len(path)
            path.append(line)
            account = line.creditor
            if account in places:
                ring = path[places[account] :]
                self._take_off(ring)
                del path[places[account] :]
                for each in ring:
                    del places[each.debtor]

    def _next(self, account: bytes) -> NetLine | None:
        """A debt of this account that may be part of a ring."""
        lines: Iterator[NetLine] = self._debts.get(account, iter(()))
        line = self._here.get(account) or next(lines, None)
        while line is not None and (not self._owed[line.leaf] or line.creditor in self._done):
            line = next(lines, None)
        self._here[account] = line
        return line

    def _take_off(self, ring: list[NetLine]) -> None:
        least = min(self._owed[line.leaf] for line in ring)
        for line in ring:
            self._owed[line.leaf] -= least
