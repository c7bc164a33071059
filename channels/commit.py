"""Commit messages (channels.md 3): what changed in the key tree, wrapped for those who stay.

::

    ver u16 | sid 32 | epoch u64 | prev_commit_hash 32 | first_slot u64 | depth u8 | n_live u32 | grant_block u64
    n_rem u16 | n_add u16 | n_wraps u16
    removed (start u32, count u16)*  added leaf u32*  wraps (level u8, index u32, AES-KW 40)*
    epoch_wrap 40 | confirm 32 | sig 65 | ML-DSA-65 sig 3,309 (in version 2 only)

Decoding has two steps because an attacker may send anything: `Header.decode` reads the fixed fields and checks that
the counts fit the length, then the signature is checked over a hash of the bytes, and only then `Commit.decode` reads
the arrays.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256 as hashing
from itertools import pairwise
from operator import le
from typing import NamedTuple

from channels.codec import LAST_EPOCH, require
from channels.errors import CommitTooLarge, FormatError, SignatureRejected, UnknownVersion
from channels.kdf import kdf, sha256
from channels.second_signature import VERSIONS, check_second_signature, check_version, second_signature_bytes
from channels.slots import LAST_SLOT
from keys.errors import KeysError
from keys.messages import Domain, StreamCommit, verify

__all__ = [
    "MAX_DEPTH",
    "NO_COMMIT",
    "WRAP_BYTES",
    "Body",
    "Commit",
    "Header",
    "Wrap",
    "confirmation",
    "leaf_ranges",
    "max_wraps",
    "second_message",
    "signature_of",
    "unsigned_part",
    "verify_commit_signature",
]

MAX_DEPTH = 31
NO_COMMIT = bytes(32)  # prev_commit_hash of epoch 1
WRAP_BYTES = 40  # AES-KW of 32 bytes
_HEADER = struct.Struct(">H32sQ32sQBIQHHH")
_REMOVED = struct.Struct(">IH")
_WRAP = struct.Struct(">BI40s")
_NO_WRAP = bytes(WRAP_BYTES)
_SIGNATURE = 65
_TAIL = WRAP_BYTES + 32 + _SIGNATURE
_MAX_COUNT = 0xFFFF

Wrap = tuple[int, int, bytes]  # level, index, AES-KW output


@lru_cache(maxsize=1024)
def max_wraps(depth: int, removed: int) -> int:
    """The most wraps that `removed` leaves can cause in a tree of `depth`, growth aside.

    One per updated node and at most min(removed, nodes) of these on a level; never above `k * log2(cap / k) + k - 1`.
    """
    return sum(min(removed, 1 << height) for height in range(depth))


def leaf_ranges(leaves: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Sorted leaf indices as maximal (start, count) ranges; a range longer than 65,535 continues in the next one."""
    ranges: list[tuple[int, int]] = []
    for leaf in sorted(leaves):
        if ranges and sum(ranges[-1]) == leaf and ranges[-1][1] < _MAX_COUNT:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + 1)
        else:
            ranges.append((leaf, 1))
    return tuple(ranges)


class Header(NamedTuple):
    """The fixed fields and the counts of the three arrays; `version` is the number of signatures.

    A tuple, as Commit is: readers make thousands in a row.
    """

    sid: bytes
    epoch: int
    prev_commit_hash: bytes
    first_slot: int
    depth: int
    n_live: int
    grant_block: int
    n_rem: int
    n_add: int
    n_wraps: int
    version: int = 1

    def encode(self) -> bytes:
        """101 bytes; CommitTooLarge when a count does not fit 16 bits."""
        if max(self.n_rem, self.n_add, self.n_wraps) > _MAX_COUNT:
            raise CommitTooLarge("a commit holds at most 65,535 removals, additions and wraps each")
        return _HEADER.pack(
            self.version,
            self.sid,
            self.epoch,
            self.prev_commit_hash,
            self.first_slot,
            self.depth,
            self.n_live,
            self.grant_block,
            self.n_rem,
            self.n_add,
            self.n_wraps,
        )

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """Read the fixed fields; FormatError unless the counts account for every byte of `data`."""
        require(len(data) >= _HEADER.size + _TAIL, "the commit is truncated")
        version, *fields = _HEADER.unpack_from(data)
        if version not in VERSIONS:
            raise UnknownVersion(f"commit version {version}")
        header = cls(*[*fields, version])
        arrays = header.n_rem * _REMOVED.size + header.n_add * 4 + header.n_wraps * _WRAP.size
        tail = _TAIL + second_signature_bytes(version)
        require(len(data) == _HEADER.size + arrays + tail, "the commit's counts do not fit its length")
        require(1 <= header.epoch <= LAST_EPOCH, "epoch out of range")
        require(header.first_slot <= LAST_SLOT, "first slot out of range")
        require(header.depth <= MAX_DEPTH, "tree too deep")
        require(header.n_live <= 1 << header.depth, "more live leaves than the tree has")
        return header


class Body(NamedTuple):
    """The arrays of a commit."""

    removed: tuple[tuple[int, int], ...]
    added: tuple[int, ...]
    wraps: tuple[Wrap, ...]

    def encode_changes(self) -> bytes:
        """`removed || added` as on the wire; also part of what fresh secrets depend on."""
        return b"".join(_REMOVED.pack(*item) for item in self.removed) + struct.pack(
            f">{len(self.added)}I", *self.added
        )

    def encode(self) -> bytes:
        return self.encode_changes() + b"".join(_WRAP.pack(*wrap) for wrap in self.wraps)

    def removed_leaves(self) -> list[int]:
        return [leaf for start, count in self.removed for leaf in range(start, start + count)]


class Commit(NamedTuple):
    """A whole commit. `commit_hash` is H of all bytes before the signatures; `signature` the writer's on chain."""

    header: Header
    body: Body
    epoch_wrap: bytes
    confirm: bytes
    signature: bytes
    commit_hash: bytes
    confirmed_hash: bytes
    data: bytes

    @staticmethod
    def hash_of(data: bytes) -> bytes:
        """The commit hash of encoded bytes that end with their signatures."""
        return sha256(unsigned_part(data))

    @classmethod
    def decode(cls, data: bytes, header: Header | None = None) -> Commit:
        """Read the arrays. Call it after the signature was checked; FormatError for any second encoding."""
        header = Header.decode(data) if header is None else header
        at = _HEADER.size
        removed = _decode_removed(data[at : at + 6 * header.n_rem], 1 << header.depth)
        at += 6 * header.n_rem
        added = struct.unpack_from(f">{header.n_add}I", data, at)
        at += 4 * header.n_add
        require(all(a < b for a, b in pairwise(added)), "added leaves are not sorted")
        require(not added or added[-1] < 1 << header.depth, "an added leaf is outside the tree")
        wraps = _decode_wraps(data[at : at + _WRAP.size * header.n_wraps], header.depth)
        at += _WRAP.size * header.n_wraps
        gone = sum(count for _, count in removed)
        bound = max_wraps(header.depth, gone) if gone else header.depth  # without removals only growth wraps
        require(header.n_wraps <= bound, "more wraps than the removals can cause")
        epoch_wrap, confirm = data[at : at + WRAP_BYTES], data[at + WRAP_BYTES : at + WRAP_BYTES + 32]
        require((header.n_live > 0) != (epoch_wrap == _NO_WRAP), "the epoch wrap is zero exactly without leaves")
        hashed = hashing(data[: at + WRAP_BYTES])
        confirmed_hash = hashed.digest()
        hashed.update(confirm)  # the commit hash goes on from there
        body = Body(removed, added, wraps)
        signature = data[at + WRAP_BYTES + 32 :][:_SIGNATURE]
        return cls(header, body, epoch_wrap, confirm, signature, hashed.digest(), confirmed_hash, data)


def _decode_removed(data: bytes, cap: int) -> tuple[tuple[int, int], ...]:
    removed = tuple(_REMOVED.iter_unpack(data))
    end, last = -1, 0
    for start, count in removed:
        require(count > 0, "an empty range of removed leaves")
        require(start > end or (start == end and last == _MAX_COUNT), "removed ranges are not sorted and maximal")
        end, last = start + count, count
    require(end <= cap, "a removed leaf is outside the tree")
    return removed


def _decode_wraps(data: bytes, depth: int) -> tuple[Wrap, ...]:
    """Readers take thousands of these in a row: the order is checked on the encoded names, a comparison each."""
    names = [data[at : at + 5] for at in range(0, len(data), _WRAP.size)]
    require(sorted(set(names)) == names, "wraps are not sorted by level and index")
    if names:
        require(names[-1][0] < depth, "a wrap names no node")
        last = _last_names(depth)
        require(all(map(le, names, [last[name[0]] for name in names])), "a wrap names no node")
    return tuple(_WRAP.iter_unpack(data))


@lru_cache(maxsize=MAX_DEPTH + 1)
def _last_names(depth: int) -> tuple[bytes, ...]:
    """The encoded name of the last node of each level."""
    return tuple(bytes((level,)) + ((1 << (depth - level)) - 1).to_bytes(4, "big") for level in range(depth + 1))


def confirmation(secret: bytes, sid: bytes, epoch: int, confirmed_hash: bytes) -> bytes:
    """`KDF(S_e, "confirm", sid || u64 e || H(commit bytes before this field))`: commits the writer to one S_e."""
    return kdf(secret, b"confirm", sid + epoch.to_bytes(8, "big") + confirmed_hash)


def unsigned_part(data: bytes) -> bytes:
    """All bytes before the signatures: what the commit hash is over."""
    return data[: -_SIGNATURE - second_signature_bytes(int.from_bytes(data[:2], "big"))]


def signature_of(data: bytes) -> bytes:
    """The writer's 65-byte EIP-712 signature: the one that the chain takes."""
    return data[len(unsigned_part(data)) :][:_SIGNATURE]


def second_message(commit_hash: bytes) -> bytes:
    """What the ML-DSA-65 half of the stream key signs for a commit. The hash covers stream, epoch and predecessor."""
    return b"ckt1 commit\x00" + commit_hash


def verify_commit_signature(data: bytes, header: Header, domain: Domain, writer: bytes, ml_dsa_public: bytes) -> bytes:
    """Check the trailing EIP-712 StreamCommit signature, and the second one if the stream key has an ML-DSA-65 half.

    Returns the commit hash. SignatureRejected otherwise.
    """
    commit_hash, what = Commit.hash_of(data), f"the commit of epoch {header.epoch}"
    check_version(header.version, ml_dsa_public, what)
    try:
        verify(StreamCommit(header.sid, header.epoch, commit_hash), domain, signature_of(data), writer)
    except KeysError as error:
        raise SignatureRejected(f"{what} is not signed by the stream's writer") from error
    second = data[len(data) - second_signature_bytes(header.version) :]
    check_second_signature(ml_dsa_public, second_message(commit_hash), second, what)
    return commit_hash


def encode_signed(unsigned: bytes, signature: bytes, second: bytes) -> bytes:
    """`unsigned || sig || second`; FormatError unless the signatures have the lengths that the version asks for.

    `second` is empty in version 1.
    """
    wanted = second_signature_bytes(int.from_bytes(unsigned[:2], "big"))
    if len(signature) != _SIGNATURE or len(second) != wanted:
        raise FormatError("a commit signature has 65 bytes, and a second one is there in version 2 only")
    return unsigned + signature + second


def encode_confirmed(header: Header, body: Body, epoch_wrap: bytes, secret: bytes) -> bytes:
    """All bytes before the signature, the confirmation by `secret` (S_e) included."""
    before = header.encode() + body.encode() + epoch_wrap
    return before + confirmation(secret, header.sid, header.epoch, sha256(before))


def sorted_wraps(wraps: Sequence[Wrap]) -> tuple[Wrap, ...]:
    """Wraps in wire order."""
    return tuple(sorted(wraps, key=lambda wrap: wrap[:2]))
