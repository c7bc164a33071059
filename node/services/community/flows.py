"""Energy flows of one interval: who used whose production (P-27, B-11). Pure, whole Wh; nothing is lost or made.

A unit's share of the production is in proportion to what it used, or to the weights that the community agreed on. It
gets min(consumption, share); what others leave over is shared out again until everybody is served or nothing is left.
Rounding goes by largest remainder, ties by the unit's id, so the order of the units does not matter. For every
interval exactly: sum of green + export = production, green + grid = consumption.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from node.services.community.errors import FlowRefused

__all__ = ["Flows", "Totals", "apportion", "flows_of"]


@dataclass(frozen=True, slots=True)
class Flows:
    """One interval. All by id of a unit or source, in Wh: `green` of what a unit used was the community's, `grid` was
    not; `export` left the community from a source; `matrix` says which source's energy went to which unit."""

    green: Mapping[bytes, int]
    grid: Mapping[bytes, int]
    export: Mapping[bytes, int]
    matrix: Mapping[tuple[bytes, bytes], int]

    @property
    def used(self) -> int:
        """Wh of the production that the community used itself."""
        return sum(self.green.values())


def apportion(total: int, weights: Mapping[bytes, int], most: Mapping[bytes, int]) -> dict[bytes, int]:
    """Shares of `total` in proportion to `weights`, none above `most`; in all min(total, what there is room for).

    Who has no weight gets something only when everybody with a weight has its most.
    """
    given = dict.fromkeys(most, 0)
    left = min(total, sum(most.values()))
    for heavy in (True, False):
        chosen = {key: weights.get(key, 0) if heavy else room for key, room in most.items()}
        open_ = {key for key, weight in chosen.items() if weight > 0 and (heavy or not weights.get(key, 0))}
        left -= _fill(left, chosen, most, open_, given)
    return given


def _fill(
    left: int, weights: Mapping[bytes, int], most: Mapping[bytes, int], open_: set[bytes], given: dict[bytes, int]
) -> int:
    """Fills those in `open_`; returns how much went out. Who is full first is asked first: most / weight ascending."""
    out = 0
    total = sum(weights[key] for key in open_)
    for key in sorted(open_, key=lambda each: (most[each] * _SCALE // weights[each], each)):
        if left * weights[key] < most[key] * total:
            break
        given[key] = most[key]
        out, left, total = out + most[key], left - most[key], total - weights[key]
        open_.discard(key)
    if not left or not open_:
        return out
    rest = []
    before = left
    for key in open_:
        part, remainder = divmod(before * weights[key], total)
        given[key] = part
        left -= part
        rest.append((-remainder, key))
    for _, key in sorted(rest)[:left]:
        given[key] += 1
    return out + before


_SCALE = 2**128
"""Two different quotients of numbers below 2**63 are further apart than 2**-126, so this keeps their order exactly."""


def flows_of(
    produced: Mapping[bytes, int], consumed: Mapping[bytes, int], weights: Mapping[bytes, int] | None = None
) -> Flows:
    """The flows of one interval: Wh by source, Wh by consumption unit, and weights of the units if not by use.

    Raises FlowRefused for negative energy or weights.
    """
    if any(value < 0 for part in (produced, consumed, weights or {}) for value in part.values()):
        raise FlowRefused("Energy and weights are not negative.", field="wh")
    made = sum(produced.values())
    green = apportion(made, consumed if weights is None else weights, consumed)
    used = sum(green.values())
    sent = apportion(used, produced, produced)
    matrix: dict[tuple[bytes, bytes], int] = {}
    wanting = dict(green)
    for source in sorted(sent):
        for unit, wh in apportion(sent[source], wanting, wanting).items():
            if wh:
                matrix[source, unit] = wh
                wanting[unit] -= wh
    grid = {unit: wh - green[unit] for unit, wh in consumed.items()}
    return Flows(green, grid, {source: wh - sent[source] for source, wh in produced.items()}, matrix)


@dataclass(slots=True)
class Totals:
    """Sums over many intervals: of the community, and of each member by the owner of its units and sources.

    `pairs`, where it is not None, says what each member (the second) used of another one's production, or its own.
    """

    produced: int = 0
    consumed: int = 0
    green: int = 0
    exported: int = 0
    members: dict[bytes, list[int]] = field(default_factory=dict)
    pairs: dict[tuple[bytes, bytes], int] | None = None

    def add(self, flows: Flows, owner: Mapping[bytes, bytes]) -> None:
        """One more interval. `owner` names the member of every unit and source (P-4)."""
        for unit, green in flows.green.items():
            self._book(owner[unit], (0, green + flows.grid[unit], green, 0))
        sent = dict.fromkeys(flows.export, 0)
        for (source, unit), wh in flows.matrix.items():
            sent[source] += wh
            if self.pairs is not None:
                pair = (owner[source], owner[unit])
                self.pairs[pair] = self.pairs.get(pair, 0) + wh
        for source, exported in flows.export.items():
            self._book(owner[source], (sent[source] + exported, 0, 0, exported))

    def _book(self, member: bytes, wh: Iterable[int]) -> None:
        found = self.members.setdefault(member, [0, 0, 0, 0])
        for place, value in enumerate(wh):
            found[place] += value
        produced, consumed, green, exported = wh
        self.produced += produced
        self.consumed += consumed
        self.green += green
        self.exported += exported

    @property
    def imported(self) -> int:
        return self.consumed - self.green
