"""Collecting what is wrong with one kind of thing, and saying it in one finding."""

from __future__ import annotations

from typing import Final

from node.cli.factories import Finding

__all__ = ["Judgement"]

_SHOWN: Final = 3


class Judgement:
    """Everything that was found about one matter. Nothing wrong means well."""

    def __init__(self, name: str, remedy: str) -> None:
        self._name = name
        self._remedy = remedy
        self._faults: list[str] = []

    @property
    def faults(self) -> tuple[str, ...]:
        return tuple(self._faults)

    def fault(self, text: str) -> None:
        self._faults.append(text)

    def finding(self, well: str) -> Finding:
        """`well` is what is said when nothing is wrong."""
        if not self._faults:
            return Finding(self._name, True, well)
        shown = "; ".join(self._faults[:_SHOWN])
        more = len(self._faults) - _SHOWN
        return Finding(self._name, False, shown + (f"; and {more} more" if more > 0 else ""), self._remedy)
