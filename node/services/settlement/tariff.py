"""What a market charges beside the agreed price: imbalance and grid fees, by carrier, area and time (G-4, G-7, M-84).

Prices in minor units per kWh, shares in 1/10,000. Tariffs are never changed, only followed by another, so that a
statement of the past comes out the same whenever it is made. A tariff is electricity's unless it names other carriers:
heat pays no electricity grid, and is short at no price of electricity, for want of a tariff of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from node.services.settlement.errors import StatementRefused
from node.wire.orderdetails import ELECTRIC

__all__ = ["GridFee", "Tariff", "Tariffs"]


@dataclass(frozen=True, slots=True)
class GridFee:
    """What the buyer pays for the grid of its area: `per_kwh`, or `bps` of the energy's amount; `to` gets it."""

    to: bytes
    per_kwh: int = 0
    bps: int = 0

    def __post_init__(self) -> None:
        if self.per_kwh < 0 or not 0 <= self.bps <= 10_000:
            raise StatementRefused("A grid fee is not negative, and no more than the whole amount.", field="fees")
        if self.per_kwh and self.bps:
            raise StatementRefused("A grid fee is constant or a share, not both.", field="fees")


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices for deliveries of these `carriers` that begin at `since` (seconds UTC) or later.

    `shortfall`: for agreed energy that one side did not deliver or take, paid to the operator by that side.
    `feed_in`: the operator pays it to a seller for energy beyond the agreed. `overdraw`: a buyer pays it to the
    operator for energy beyond the agreed. `fees` by area.
    """

    since: int = 0
    shortfall: int = 0
    feed_in: int = 0
    overdraw: int = 0
    fees: Mapping[str, GridFee] = field(default_factory=lambda: MappingProxyType({}))
    carriers: tuple[str, ...] = (ELECTRIC,)

    def __post_init__(self) -> None:
        if not self.carriers:
            raise StatementRefused("A tariff is for no carrier.", field="carriers")
        if min(self.since, self.shortfall, self.feed_in, self.overdraw) < 0:
            raise StatementRefused("A price of imbalance is not negative.", field="tariff")


class Tariffs:
    """All tariffs of one market, and which area an account lies in. `operator` is the other side of imbalance."""

    def __init__(
        self, operator: bytes, tariffs: Iterable[Tariff] = (), area: str = "", areas: Mapping[bytes, str] | None = None
    ) -> None:
        self.operator = operator
        self._ordered: dict[str, list[Tariff]] = {}
        for each in sorted(tariffs, key=lambda each: each.since):
            for carrier in each.carriers:
                self._ordered.setdefault(carrier, []).append(each)
        self._since = {carrier: [each.since for each in some] for carrier, some in self._ordered.items()}
        if any(len(set(some)) != len(some) for some in self._since.values()):
            raise StatementRefused("Two tariffs of one carrier begin at one time.", field="since")
        self._area = area
        self._areas = dict(areas or {})
        self._none = Tariff()

    def at(self, moment: int, carrier: str = ELECTRIC) -> Tariff:
        """The tariff of a delivery that begins then; one without any price before the carrier's first."""
        place = bisect_right(self._since.get(carrier, ()), moment)
        return self._ordered[carrier][place - 1] if place else self._none

    def area(self, account: bytes) -> str:
        """The bidding zone or grid area of an account (A-26)."""
        return self._areas.get(account, self._area)
