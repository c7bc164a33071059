"""Small makers of events for tests of the projection. Names of blocks, people and ids are one letter, repeated."""

from __future__ import annotations

from node.projection import events as e
from node.projection.base import Block, Peer
from node.types import OPEN_END

__all__ = ["HOME", "OWNER", "PROVIDER", "READER", "STRANGER", "address", "block", "commit", "granted", "h32", "revoked"]


def h32(letter: str) -> bytes:
    return letter.encode() * 32


def address(letter: str) -> bytes:
    return letter.encode() * 20


OWNER, READER, STRANGER = address("o"), address("r"), address("x")
PROVIDER = Peer(address("p"), "https://provider.example/api/v1/inbox", b"\x01" * 1216)
HOME = Peer(address("h"), "https://home.example/api/v1/inbox", b"\x02" * 1216)


def block(number: int, branch: str = "a") -> Block:
    """The same number on another branch is another block."""
    return Block(number, number.to_bytes(31, "big") + branch.encode())


def granted(
    number: int, branch: str = "a", *, grant: str = "g", sids: tuple[str, ...] = ("s", "t"), end: int = OPEN_END
) -> e.LoggedGranted:
    streams = tuple(h32(sid) for sid in sids)
    return e.LoggedGranted(block(number, branch), h32(grant), OWNER, READER, h32("k"), streams, 1_000, end, 7, h32("T"))


def revoked(
    number: int, branch: str = "a", *, grant: str = "g", by: bytes = OWNER, sid: bytes = bytes(32)
) -> e.LoggedRevoked:
    return e.LoggedRevoked(block(number, branch), h32(grant), by, sid)


def commit(number: int, epoch: int, branch: str = "a", *, sid: str = "s") -> e.LoggedCommitted:
    return e.LoggedCommitted(block(number, branch), h32(sid), epoch, epoch.to_bytes(31, "big") + branch.encode())
