"""What every asset of a simulated community has to sell or needs, slot by slot: drawn from a seed, the same every time.

Whole Wh and minor units per kWh. Two of five assets make energy (sun or wind), the others use it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from node.errors import InvalidInput

__all__ = ["Plan", "Wish"]

DAY_S: Final = 86_400
_SUN: Final = (0, 0, 0, 0, 0, 20, 90, 210, 360, 510, 630, 700, 720, 690, 610, 490, 340, 190, 80, 20, 0, 0, 0, 0)
"""Of a panel's peak, in 1/1000, by hour."""
_LOAD: Final = (
    230, 200, 190, 180, 190, 230, 380, 520, 480, 410, 390, 400,
    430, 400, 380, 390, 450, 620, 780, 760, 660, 520, 390, 290,
)  # fmt: skip
"""What a household uses in W, by hour."""


@dataclass(frozen=True, slots=True)
class Wish:
    """An offer or a request of one asset for one slot."""

    asset: int
    sells: bool
    wh: int
    price: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`assets` in all, for `slots` of `slot_s` seconds each, drawn from `seed`."""

    assets: int
    slots: int
    slot_s: int = 3_600
    seed: int = 1
    first_hour: int = 0

    def __post_init__(self) -> None:
        if self.assets < 2 or self.slots < 1 or not 900 <= self.slot_s <= DAY_S:
            raise InvalidInput("A simulation needs two assets, a slot, and slots of 15 minutes to a day.")

    def makes(self, asset: int) -> bool:
        """Whether an asset is one of those that sell."""
        return asset % 5 < 2

    def wishes(self, slot: int) -> tuple[Wish, ...]:
        """All orders of one slot, in the order of the assets; who has nothing to sell has no order."""
        hour = (self.first_hour + slot * self.slot_s // 3_600) % 24
        found = []
        for asset in range(self.assets):
            chance = random.Random(f"{self.seed}/{asset}/{slot}")  # noqa: S311 (a simulation, and repeatable)
            nature = random.Random(f"{self.seed}/{asset}")  # noqa: S311
            if self.makes(asset):
                peak = nature.randrange(1_500, 9_000)
                share = chance.randrange(100, 700) if asset % 5 else _SUN[hour] * chance.randrange(600, 1_000) // 1_000
                watts, price = peak * share // 1_000, chance.randrange(120_000, 240_000)
            else:
                watts = _LOAD[hour] * nature.randrange(500, 2_500) * chance.randrange(700, 1_300) // 1_000_000
                price = chance.randrange(180_000, 320_000)
            wh = watts * self.slot_s // 3_600
            if wh:
                found.append(Wish(asset, self.makes(asset), wh, price))
        return tuple(found)
