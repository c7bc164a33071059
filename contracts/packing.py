"""Calldata put together without eth_abi, for values that need no conversion: a relay encodes every message it takes.

Covers what our contracts take: addresses, fixed and open bytes, integers without sign, booleans, text, and lists and
structs of these. It takes only the one plain Python value of each type; anything else is a `Misfit`, and whoever calls
leaves it to eth_abi, which converts what it can and says what is wrong with the rest. Source: the contract ABI
specification of Solidity, "Formal Specification of the Encoding".
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.grammar import BasicType, TupleType, parse

from contracts.errors import Misfit

__all__ = ["packer_of"]

_WORD = 32
_Pack = Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class _Packer:
    """`size`: bytes in the head of whatever holds it; None for a part that is only pointed at from there."""

    pack: _Pack
    size: int | None


@functools.cache
def packer_of(types: tuple[str, ...]) -> Callable[[Sequence[Any]], bytes] | None:
    """What encodes values of these types one after the other; None where a type needs eth_abi. It raises Misfit."""
    parts = [_packer(parse(kind)) for kind in types]
    known = [part for part in parts if part is not None]
    return _sequence(tuple(known)).pack if len(known) == len(parts) else None


def _packer(kind: Any) -> _Packer | None:
    if kind.is_array:
        item = _packer(kind.item_type)
        return _list(item) if item is not None and kind.arrlist[-1] == () else None
    if isinstance(kind, TupleType):
        parts = [_packer(part) for part in kind.components]
        known = [part for part in parts if part is not None]
        return _sequence(tuple(known)) if len(known) == len(parts) else None
    return _basic(kind) if isinstance(kind, BasicType) else None


def _basic(kind: BasicType) -> _Packer | None:
    match kind.base, kind.sub:
        case "address", None:
            return _Packer(_address, _WORD)
        case "bool", None:
            return _Packer(_bool, _WORD)
        case "uint", int(bits):
            return _Packer(_uint(bits), _WORD)
        case "bytes", int(size):
            return _Packer(_fixed(size), _WORD)
        case "bytes", None:
            return _Packer(_open_bytes, None)
        case "string", None:
            return _Packer(_text, None)
        case _:
            return None


def _address(value: Any) -> bytes:
    if type(value) is not bytes or len(value) != 20:
        raise Misfit
    return bytes(12) + value


def _bool(value: Any) -> bytes:
    if type(value) is not bool:
        raise Misfit
    return value.to_bytes(_WORD, "big")


def _uint(bits: int) -> _Pack:
    limit = 1 << bits

    def pack(value: Any) -> bytes:
        if type(value) is not int or not 0 <= value < limit:
            raise Misfit
        return value.to_bytes(_WORD, "big")

    return pack


def _fixed(size: int) -> _Pack:
    rest = bytes(_WORD - size)

    def pack(value: Any) -> bytes:
        if type(value) is not bytes or len(value) != size:
            raise Misfit
        return value + rest

    return pack


def _open_bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise Misfit
    return len(value).to_bytes(_WORD, "big") + value + bytes(-len(value) % _WORD)


def _text(value: Any) -> bytes:
    if type(value) is not str:
        raise Misfit
    try:
        return _open_bytes(value.encode())
    except UnicodeEncodeError:
        raise Misfit from None


def _list(item: _Packer) -> _Packer:
    pack, size = item.pack, item.size

    def packed(value: Any) -> bytes:
        if type(value) not in (list, tuple):
            raise Misfit
        count = len(value).to_bytes(_WORD, "big")
        if size is not None:
            return count + b"".join([pack(each) for each in value])
        return count + _pointed([pack(each) for each in value])

    return _Packer(packed, None)


def _pointed(tails: Sequence[bytes]) -> bytes:
    """Parts of their own length, after the places where they begin."""
    at = _WORD * len(tails)
    heads = []
    for tail in tails:
        heads.append(at.to_bytes(_WORD, "big"))
        at += len(tail)
    return b"".join([*heads, *tails])


def _sequence(parts: tuple[_Packer, ...]) -> _Packer:
    """A struct, or the arguments of a function: parts in place, and behind them those that are pointed at."""
    head_size = sum(_WORD if part.size is None else part.size for part in parts)
    in_place = all(part.size is not None for part in parts)

    def pack(values: Any) -> bytes:
        if type(values) not in (list, tuple) or len(values) != len(parts):
            raise Misfit
        heads: list[bytes] = []
        tails: list[bytes] = []
        at = head_size
        for part, value in zip(parts, values, strict=True):
            packed = part.pack(value)
            if part.size is None:
                heads.append(at.to_bytes(_WORD, "big"))
                tails.append(packed)
                at += len(packed)
            else:
                heads.append(packed)
        return b"".join([*heads, *tails])

    return _Packer(pack, head_size if in_place else None)
