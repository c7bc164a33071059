"""Entries and lines of a netting, as the NetSettlement contract reads them.

An entry is 16 bytes, `uint32 member | uint96 amount`; a list has them in ascending order of members. A line's leaf is
`keccak256(keccak256(abi.encode(line)))`, in a tree that hashes pairs in ascending order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eth_utils.crypto import keccak

__all__ = ["decode_entries", "encode_entries", "leaf_of", "merkle_path", "merkle_paths", "merkle_root", "root_over"]

_ENTRY = 16
_MOST = 2**88 - 1


def encode_entries(entries: Iterable[tuple[int, int]]) -> bytes:
    """Return a list of (member's number, amount). Raises ValueError where the contract would refuse it."""
    out = bytearray()
    last = 0
    for member, amount in entries:
        if not last < member < 2**32:
            raise ValueError(f"member {member} does not come after {last}")
        if not 0 <= amount <= _MOST:
            raise ValueError(f"{amount} is no amount")
        out += member.to_bytes(4, "big") + amount.to_bytes(12, "big")
        last = member
    return bytes(out)


def decode_entries(data: bytes) -> list[tuple[int, int]]:
    """Return the (member's number, amount) pairs of a list. Raises ValueError for anything but whole entries."""
    if len(data) % _ENTRY:
        raise ValueError(f"{len(data)} bytes are no whole number of entries")
    starts = range(0, len(data), _ENTRY)
    return [(int.from_bytes(data[at : at + 4], "big"), int.from_bytes(data[at + 4 : at + 16], "big")) for at in starts]


def leaf_of(encoded_line: bytes) -> bytes:
    """Return the leaf of a line, given its `abi.encode`. Hashed twice, so that no inner node passes for a leaf."""
    return bytes(keccak(keccak(encoded_line)))


def _pair(left: bytes, right: bytes) -> bytes:
    return bytes(keccak(left + right if left < right else right + left))


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    if not leaves:
        raise ValueError("a tree has at least one leaf")
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        row = levels[-1]
        paired = [_pair(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
        # The odd one moves up as it is: doubling it would let one line be shown as two.
        levels.append(paired + row[len(row) - len(row) % 2 :])
    return levels


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaves of 32 bytes, in the order given. Raises ValueError for none."""
    return _levels(leaves)[-1][0]


def merkle_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the siblings from a leaf up to the root. Raises ValueError for no leaves, IndexError for no such leaf."""
    if not 0 <= index < len(leaves):
        _levels(leaves)
        raise IndexError(f"no leaf {index}")
    return _path(_levels(leaves), index)


def merkle_paths(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Return the path of every leaf; the tree is made once. Raises ValueError for none."""
    levels = _levels(leaves)
    return [_path(levels, index) for index in range(len(leaves))]


def _path(levels: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    path = []
    for row in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(row):
            path.append(row[sibling])
        index //= 2
    return path


def root_over(leaf: bytes, path: Iterable[bytes]) -> bytes:
    """Return the root that a leaf and its siblings lead to; the counterpart of `merkle_path`."""
    for sibling in path:
        leaf = _pair(leaf, sibling)
    return leaf
