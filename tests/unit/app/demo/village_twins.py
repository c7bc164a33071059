"""Twins of the second half: each breaks one part of minting, matching, measuring or paying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from node.app.demo.evidence import Settlement
from node.services.market.book import Fill
from tests.unit.app.demo.village import VillageWorld

__all__ = ["VILLAGE_TWINS"]

VILLAGE_TWINS: list[tuple[str, type[VillageWorld], str]] = []


def _twin(name: str, says: str):  # type: ignore[no-untyped-def]
    def mark(world: type[VillageWorld]) -> type[VillageWorld]:
        VILLAGE_TWINS.append((name, world, says))
        return world

    return mark


@_twin("minted_from_readings", "the meter said")
class SignsMoreThanTheMeterSaid(VillageWorld):
    def said(self, at: int) -> int:
        return super().said(at) + 50


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


@_twin("shares_get_their_part", "not everybody claimed")
class NeverPaysOut(VillageWorld):
    def settlement(self) -> Settlement:
        found = super().settlement()
        kept = tuple(replace(share, balance=0, claimable=share.balance) for share in found.shares)
        return replace(found, shares=kept)


@_twin("matches_are_within_limits", "a price of")
class MatchesAboveTheRequest(VillageWorld):
    def fills(self) -> list[Fill]:
        return [replace(fill, price=250_001) for fill in super().fills()]


@_twin("matches_are_within_limits", "is filled with")
class FillsAnOfferTwice(VillageWorld):
    """A-16."""

    def fills(self) -> list[Fill]:
        first, *_ = super().fills()
        return [first, first]


@_twin("deliveries_are_measured", "the meters say")
class ReportsWhatWasOrdered(VillageWorld):
    """As if nobody had read a meter: the contract in full, although the window was cut short."""

    def delivered(self, contracts: Mapping[bytes, int]) -> dict[bytes, int]:
        return dict.fromkeys(contracts, 0)


@_twin("deliveries_are_measured", "are owed")
class ChargesTooMuch(VillageWorld):
    def due(self, wh: int, price: int) -> int:
        return super().due(wh, price) * 2


@_twin("paid_in_one_batch", "were paid")
class PaysTwice(VillageWorld):
    def pay(self, dues: Mapping[bytes, int]) -> None:
        super().pay(dues)
        super().pay(dues)


@_twin("paid_in_one_batch", "took 2 transactions")
class PaysOneByOne(VillageWorld):
    def pay(self, dues: Mapping[bytes, int]) -> None:
        for key, due in dues.items():
            self.transfer(key, due, same=False)


@_twin("money_is_conserved", "the seller has")
class LosesMoneyOnTheWay(VillageWorld):
    def transfer(self, key: bytes, due: int, *, same: bool) -> None:
        super().transfer(key, due, same=same)
        self.money[self.seller] -= 1


@_twin("money_is_conserved", "the market holds")
class KeepsTwoBooks(VillageWorld):
    def settlement(self) -> Settlement:
        return replace(super().settlement(), vault=self.given - 1)
