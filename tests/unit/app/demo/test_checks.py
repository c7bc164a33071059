"""The story as it should be: every check passes, on evidence that real components made."""

from __future__ import annotations

import asyncio

import pytest

from node.app.demo.checks import CHECKS, CheckFunction
from node.app.demo.evidence import Evidence
from tests.unit.app.demo.world import World


@pytest.fixture(scope="module")
def story() -> Evidence:
    return asyncio.run(World().play()).evidence()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_story_passes(story: Evidence, check: CheckFunction) -> None:
    found = check(story)
    assert found.ok, found.detail
