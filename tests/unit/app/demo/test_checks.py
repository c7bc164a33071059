"""The story as it should be: every check passes, on evidence that real components made."""

from __future__ import annotations

import asyncio

import pytest

from node.app.demo.checks import CHECKS, CheckFunction
from node.app.demo.checks.continuity import rebuilds_equal
from node.app.demo.evidence import Evidence
from tests.unit.app.demo.journalled import JournalWorld
from tests.unit.app.demo.world import World


@pytest.fixture(scope="module")
def story() -> Evidence:
    return asyncio.run(World().play()).evidence()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_story_passes(story: Evidence, check: CheckFunction) -> None:
    found = check(story)
    assert found.ok, found.detail


def test_nodes_that_lost_their_databases_show_the_same() -> None:
    """The world in which the twins of the rebuild live, with nothing broken."""
    found = rebuilds_equal(asyncio.run(JournalWorld().play()).evidence())
    assert found.ok, found.detail
