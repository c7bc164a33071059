"""Log data whose parts are whole words, read without eth_abi: a rebuild decodes every log that there ever was.

Covers what events of ours are made of: addresses, fixed bytes, unsigned integers, booleans, and lists of these. As
strict as eth_abi about padding and bounds; a test compares the two on data of every kind, damaged data included.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from contracts.errors import MalformedData

__all__ = ["WordsReader", "reader_of"]

WordsReader = Callable[[bytes], tuple[Any, ...]]
_Word = Callable[[bytes], Any]

_WORD = 32
_NO_ADDRESS = bytes(12)
_SIZED = re.compile(r"(uint|bytes)([0-9]{1,3})")


@functools.cache
def reader_of(types: tuple[str, ...]) -> WordsReader | None:
    """What reads data of these types; None where they need eth_abi. The reader raises MalformedData."""
    parts: list[tuple[_Word, bool]] = []
    for kind in types:
        item = _word(kind.removesuffix("[]"))
        if item is None:
            return None
        parts.append((item, kind.endswith("[]")))
    size = _WORD * len(parts)

    def read(data: bytes) -> tuple[Any, ...]:
        if len(data) < size:
            raise MalformedData(f"{len(data)} bytes where {size} are needed for ({','.join(types)})")
        found = []
        for place, (item, is_list) in zip(range(0, size, _WORD), parts, strict=True):
            word = data[place : place + _WORD]
            found.append(_list(item, data, int.from_bytes(word), size) if is_list else item(word))
        return tuple(found)

    return read


def _list(item: _Word, data: bytes, offset: int, head: int) -> tuple[Any, ...]:
    start = offset + _WORD
    if offset < head or start > len(data):
        raise MalformedData(f"a list begins at byte {offset} of {len(data)}")
    count = int.from_bytes(data[offset:start])
    if count > (len(data) - start) // _WORD:
        raise MalformedData(f"a list of {count} does not fit into {len(data)} bytes")
    return tuple([item(data[at : at + _WORD]) for at in range(start, start + count * _WORD, _WORD)])


def _word(kind: str) -> _Word | None:
    if kind == "address":
        return _address
    if kind == "bool":
        return _bool
    if kind == "bytes32":
        return bytes
    sized = _SIZED.fullmatch(kind)
    if sized is None:
        return None
    size = int(sized[2])
    if sized[1] == "uint":
        return _uint(size // 8) if size % 8 == 0 and 8 <= size <= 256 else None
    return _bytes(size) if 1 <= size < _WORD else None


def _address(word: bytes) -> bytes:
    if word[:12] != _NO_ADDRESS:
        raise MalformedData("an address with bytes before it")
    return word[12:]


def _bool(word: bytes) -> bool:
    value = int.from_bytes(word)
    if value > 1:
        raise MalformedData("a truth value that is neither 0 nor 1")
    return value == 1


def _uint(size: int) -> _Word:
    limit = 1 << 8 * size

    def read(word: bytes) -> int:
        value = int.from_bytes(word)
        if value >= limit:
            raise MalformedData(f"a number that does not fit into {size} bytes")
        return value

    return read


def _bytes(size: int) -> _Word:
    def read(word: bytes) -> bytes:
        if any(word[size:]):
            raise MalformedData(f"more than {size} bytes")
        return word[:size]

    return read
