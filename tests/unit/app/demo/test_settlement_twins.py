"""The second half on a real chain: sound it passes every check, and each twin that signs or sends wrongly is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.app.demo.checks import CHECKS
from node.app.demo.evidence import Evidence, Setting
from tests.unit.app.demo.chainvillage import CHAIN_TWINS, Chain, ChainVillage, chain_of_a_village

pytestmark = pytest.mark.chain

SETTING = Setting(1, bytes(20), bytes(32), bytes(20), bytes(20), 0, 60, 0, "", {})
SETTLED = [check for check in CHECKS if check.__module__.endswith(".settlement")]


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with chain_of_a_village() as chain:
        yield chain


def test_a_sound_village_passes_every_check(chain: Chain, tmp_path: Path) -> None:
    village = ChainVillage(chain, tmp_path)
    evidence = Evidence(SETTING, settlement=village.settlement())
    found = [check(evidence) for check in SETTLED]
    assert [each for each in found if not each.ok] == []
    assert village.refused == []


@pytest.mark.parametrize(
    ("name", "village", "says", "refused"), CHAIN_TWINS, ids=lambda value: getattr(value, "__name__", None)
)
def test_what_is_signed_or_sent_wrongly_is_seen(
    chain: Chain, tmp_path: Path, name: str, village: type[ChainVillage], says: str, refused: str
) -> None:
    (check,) = [check for check in SETTLED if check.__name__ == name]
    played = village(chain, tmp_path)
    found = check(Evidence(SETTING, settlement=played.settlement()))
    assert not found.ok, f"{name} does not notice: {found.detail}"
    assert says in found.detail
    assert set(played.refused) == ({refused} if refused else set())
