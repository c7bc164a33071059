"""Where each key of a TOML document stands, so that a complaint can name line and column.

The standard library's parser forgets positions. This scanner runs after it, on text that is known to be valid TOML 1.0,
and only finds keys; it never interprets values.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["KeyPath", "Position", "key_positions"]

KeyPath = tuple[str | int, ...]
_BARE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_SPACE: Final = frozenset(" \t\r\n")


class Position(NamedTuple):
    """Both count from 1."""

    line: int
    column: int


def key_positions(text: str) -> Mapping[KeyPath, Position]:
    """The position of every key, table header and array element. `text` must have passed `tomllib.loads`."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.found


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[KeyPath, Position] = {}
        self._table: KeyPath = ()
        self._arrays: dict[KeyPath, int] = {}

    def document(self) -> None:
        while self._skip_blank():
            if self._peek() == "[":
                self._header()
            else:
                self._pair(self._table)

    def _header(self) -> None:
        start = self.at
        repeated = self.text.startswith("[[", self.at)
        self.at += 2 if repeated else 1
        self._skip_blank()
        path: KeyPath = ()
        keys = self._dotted()
        for depth, (key, _) in enumerate(keys):
            path = (*path, key)
            last = depth == len(keys) - 1
            if repeated and last:
                self._arrays[path] = self._arrays.get(path, -1) + 1
                self.found.setdefault(path, self._position(start))
            if path in self._arrays:
                path = (*path, self._arrays[path])
        self.at += 2 if repeated else 1
        self._table = path
        self.found.setdefault(path, self._position(start))

    def _pair(self, table: KeyPath) -> None:
        path = table
        for key, where in self._dotted():
            path = (*path, key)
            self.found.setdefault(path, self._position(where))
        self.at += 1  # the equals sign
        self._skip_blank()
        self._value(path)

    def _dotted(self) -> list[tuple[str, int]]:
        keys = [self._key()]
        self._skip_blank()
        while self._peek() == ".":
            self.at += 1
            self._skip_blank()
            keys.append(self._key())
            self._skip_blank()
        return keys

    def _key(self) -> tuple[str, int]:
        start = self.at
        if self._peek() in "\"'":
            self._string()
            quoted = self.text[start : self.at]
            return str(tomllib.loads(f"k={quoted}")["k"]), start
        while self._peek() in _BARE:
            self.at += 1
        return self.text[start : self.at], start

    def _value(self, path: KeyPath) -> None:
        mark = self._peek()
        if mark == "[":
            self._array(path)
        elif mark == "{":
            self._inline_table(path)
        elif mark in "\"'":
            self._string()
        else:
            while self._peek() not in ("", ",", "]", "}", "#", "\n"):
                self.at += 1

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while self._skip_blank() and self._peek() != "]":
            self.found.setdefault((*path, index), self._position(self.at))
            self._value((*path, index))
            index += 1
            self._skip_blank()
            if self._peek() == ",":
                self.at += 1
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while self._skip_blank() and self._peek() != "}":
            self._pair(path)
            self._skip_blank()
            if self._peek() == ",":
                self.at += 1
        self.at += 1

    def _string(self) -> None:
        quote = self._peek()
        ends = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(ends)
        while not self.text.startswith(ends, self.at):
            self.at += 2 if quote == '"' and self._peek() == "\\" else 1
        self.at += len(ends)
        # A multi-line string may end in up to two quotes of its own before the closing three.
        while len(ends) == 3 and self._peek() == quote:
            self.at += 1

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip_blank(self) -> bool:
        """Passes white space and comments; False at the end of the text."""
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at] in _SPACE:
                self.at += 1
            else:
                return True
        return False

    def _position(self, at: int) -> Position:
        begin = self.text.rfind("\n", 0, at) + 1
        return Position(self.text.count("\n", 0, at) + 1, at - begin + 1)
