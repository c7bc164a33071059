"""Twins of the second half that break a contract: what the token makes and gives, what the market charges and books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from node.app.demo.evidence import Settlement
from tests.unit.app.demo.village import VillageWorld

__all__ = ["VILLAGE_TWINS"]

VILLAGE_TWINS: list[tuple[str, type[VillageWorld], str]] = []


def _twin(name: str, says: str):  # type: ignore[no-untyped-def]
    def mark(world: type[VillageWorld]) -> type[VillageWorld]:
        VILLAGE_TWINS.append((name, world, says))
        return world

    return mark


@_twin("minted_from_readings", "the token holds")
class MintsOutOfNothing(VillageWorld):
    def settlement(self) -> Settlement:
        return replace(super().settlement(), supply=self.supply + 1)


@_twin("shares_get_their_part", "the shares earned")
class GivesAllToTheOwner(VillageWorld):
    def credit(self, made: int) -> None:
        self.earned[self.owner] = self.earned.get(self.owner, 0) + made
        for other in self.others:
            self.earned.setdefault(other, 1)


@_twin("deliveries_are_measured", "are owed")
class ChargesTooMuch(VillageWorld):
    def due(self, wh: int, price: int) -> int:
        return super().due(wh, price) * 2


@_twin("paid_in_one_batch", "were paid")
class PaysTwice(VillageWorld):
    def pay(self, dues: Mapping[bytes, int]) -> None:
        super().pay(dues)
        super().pay(dues)


@_twin("money_is_conserved", "the seller has")
class LosesMoneyOnTheWay(VillageWorld):
    def transfer(self, key: bytes, due: int, *, same: bool) -> None:
        super().transfer(key, due, same=same)
        self.money[self.seller] -= 1


@_twin("money_is_conserved", "the market holds")
class KeepsTwoBooks(VillageWorld):
    def settlement(self) -> Settlement:
        return replace(super().settlement(), vault=self.given - 1)
