"""Twins: each breaks one part of the product, plays the whole story, and sees the check that guards this part fail."""

from __future__ import annotations

import asyncio

import pytest

from node.app.demo import checks as all_checks
from node.app.demo.checks import CHECKS, CheckFunction
from node.app.demo.evidence import Evidence, Setting
from tests.unit.app.demo.chainvillage import CHAIN_TWINS
from tests.unit.app.demo.twins import TWINS, KeepsTheRoot
from tests.unit.app.demo.village import VillageWorld
from tests.unit.app.demo.village_twins import VILLAGE_TWINS
from tests.unit.app.demo.world import World

SETTING = Setting(1, bytes(20), bytes(32), bytes(20), bytes(20), 0, 60, 0, "", {})
CHECK = {check.__name__: check for check in CHECKS}


_LEFT: dict[type[World], Evidence] = {}


def _played(world: type[World]) -> Evidence:
    """What one broken part leaves behind; several checks look at it, and none can change it."""
    if world not in _LEFT:
        _LEFT[world] = asyncio.run(world().play()).evidence()
    return _LEFT[world]


@pytest.mark.parametrize(("name", "world", "says"), TWINS, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_product_is_seen(name: str, world: type[World], says: str) -> None:
    check: CheckFunction = CHECK[name]
    found = check(_played(world))
    assert not found.ok, f"{name} does not notice: {found.detail}"
    assert says in found.detail


@pytest.mark.parametrize(("name", "village", "says"), VILLAGE_TWINS, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_settlement_is_seen(name: str, village: type[VillageWorld], says: str) -> None:
    found = CHECK[name](Evidence(SETTING, settlement=village().settlement()))
    assert not found.ok, f"{name} does not notice: {found.detail}"
    assert says in found.detail


SETTLED = [check for check in CHECKS if check.__module__.endswith(".settlement")]


@pytest.mark.parametrize("check", SETTLED, ids=lambda check: check.__name__)
def test_a_sound_settlement_passes_and_a_missing_one_does_not(check: CheckFunction) -> None:
    found = check(Evidence(SETTING, settlement=VillageWorld().settlement()))
    assert found.ok, found.detail
    assert not check(Evidence(SETTING)).ok


def test_every_check_has_a_twin() -> None:
    twins = {name for name, *_ in (*TWINS, *VILLAGE_TWINS, *CHAIN_TWINS)}
    assert twins == {check.__name__ for check in all_checks.CHECKS}


class _Thorough(World):
    thorough = True


def test_keys_are_found_inside_stolen_states_and_capsules() -> None:
    """A thief who has whole states and sealing keys, but no key by itself, opens as much as one who was handed them."""
    evidence = asyncio.run(_Thorough().play()).evidence()
    found = CHECK["a_keys_after_revocation"](evidence)
    assert found.ok, found.detail


class _ThoroughAgainstBroken(_Thorough):
    writer_class = KeepsTheRoot.writer_class


def test_keys_inside_stolen_states_open_what_a_broken_writer_seals() -> None:
    evidence = asyncio.run(_ThoroughAgainstBroken().play()).evidence()
    assert not CHECK["a_keys_after_revocation"](evidence).ok
