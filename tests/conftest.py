"""No test judges time: a busy machine must not turn a right answer into a failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# Some tests import the library below it themselves, which would raise the recursion limit of this process for good.
import keys.ethereum  # noqa: F401

settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

# Whole networks of processes in the middle: not while the contracts compile, and not at the end, when one file that
# takes minutes would keep one worker busy and the others waiting.
ORDER = ("architecture", "assumptions", "conformance", "fuzz", "integration", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts by folder; within a folder the order stays."""

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return ORDER.index(folder) if folder in ORDER else len(ORDER)

    items.sort(key=place)
