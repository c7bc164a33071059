"""Whether the copies of a contract agree, field by field (M-82, M-87). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Line", "agree", "compare"]


@dataclass(frozen=True, slots=True)
class Line:
    """One field with what each copy says; a copy that does not know the field is left out."""

    field: str
    values: Mapping[str, Any]

    @property
    def agrees(self) -> bool:
        """Whether all copies that know the field say the same."""
        values = list(self.values.values())
        return all(value == values[0] for value in values)


def compare(copies: Mapping[str, Mapping[str, Any]]) -> tuple[Line, ...]:
    """Every field that any copy knows, in the order in which the copies name them."""
    fields = dict.fromkeys(field for copy in copies.values() for field in copy)
    return tuple(Line(field, {name: copy[field] for name, copy in copies.items() if field in copy}) for field in fields)


def agree(lines: tuple[Line, ...]) -> bool:
    """Whether no field differs. A contract of which no copy knows anything agrees with nothing."""
    return bool(lines) and all(line.agrees for line in lines)
