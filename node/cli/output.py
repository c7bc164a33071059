"""Results on stdout (tables for people, JSON with --json), everything else on stderr.

Names and reasons come from other people: they are printed as plain text, without markup or control characters, so they
cannot colour, move or hide what stands around them.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Column", "Output", "plain", "short"]

Row = Mapping[str, Any]
# Heading, and either a key or a function of the row.
Column = tuple[str, str | Callable[[Row], object]]
_MANY: Final = 200


def plain(value: object) -> str:
    """Text without control, format and private characters: no escape sequences, no bidirectional tricks."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return "".join(" " if c in "\n\t" else c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C")


def short(value: object) -> str:
    """0x1234abcd…9f: enough to recognise; commands accept such beginnings."""
    text = plain(value)
    return text if len(text) <= 20 or not text.startswith("0x") else f"{text[:10]}…{text[-4:]}"


class Output:
    """One command's output."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(file=sys.stdout, highlight=False, soft_wrap=False, width=self._width(sys.stdout))
        self._err = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    @staticmethod
    def _width(stream: Any) -> int | None:
        """Tables that go into a file or a pipe are not cut to a terminal's width."""
        return None if stream.isatty() else _MANY

    def say(self, text: str) -> None:
        """A remark for the person; never part of the result."""
        self._err.print(Text(text))

    def text(self, text: str) -> None:
        """A result that is text whatever the mode: a sample file, a QR code."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")

    def document(self, value: Any) -> None:
        """One JSON object, whatever the mode."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=None if self.as_json else 2) + "\n")

    def one(self, row: Row, columns: Sequence[Column]) -> None:
        """One thing: a JSON object, or a line per fact."""
        if self.as_json:
            self.document(row)
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for heading, source in columns:
            value = _cell(row, source)
            if value:
                table.add_row(Text(heading), Text(value))
        self._out.print(table)

    def many(self, rows: Iterable[Row], columns: Sequence[Column], nothing: str) -> None:
        """A list: JSON lines, or a table; `nothing` is said instead of an empty one."""
        found = list(rows)
        if self.as_json:
            for row in found:
                self.document(row)
            return
        if not found:
            self.say(nothing)
            return
        table = Table(box=SIMPLE, pad_edge=False)
        for heading, _ in columns:
            table.add_column(Text(heading), overflow="fold")
        for row in found:
            table.add_row(*(Text(_cell(row, source)) for _, source in columns))
        self._out.print(table)


def _cell(row: Row, source: str | Callable[[Row], object]) -> str:
    value = row.get(source) if isinstance(source, str) else source(row)
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return plain(value)
