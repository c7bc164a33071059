"""What a reader's device holds, as a thief would find it, and what can be tried with it.

The product has no such function on purpose: the tests attack key material, not the interface that refuses politely.
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.exceptions import InvalidTag

from channels.commit import Commit
from channels.envelope import EnvelopeHeader, Lane, SlotCipher
from channels.errors import ChannelError, CommitRejected, EnvelopeRejected
from channels.ggm import Cover, CoverNode
from channels.kdf import kdf
from channels.masters import slot_root
from channels.reader import Reader
from channels.wrapping import CommitKeys, evolve

__all__ = ["evolved", "opened_wraps", "raw_keys", "raw_open"]


def raw_keys(reader: Reader) -> tuple[set[bytes], dict[int, list[CoverNode]]]:
    """All 32-byte secrets of a reader: path keys, and tree nodes by epoch (the epoch tree's under -1)."""
    covers = reader.keyring.covers()
    nodes: dict[int, list[CoverNode]] = {-1: list(covers.epochs)}
    for epoch, held in covers.slots:
        nodes[epoch] = list(held)
    path = set(reader.follower.path.keys) if reader.follower is not None else set()
    return path, nodes


def evolved(keys: Iterable[bytes]) -> set[bytes]:
    """Every key as it is, and evolved once and twice."""
    found = set(keys)
    once = {evolve(key) for key in found}
    return found | once | {evolve(key) for key in once}


def opened_wraps(keys: Iterable[bytes], commit: Commit) -> list[tuple[int, int]]:
    """The nodes whose wrap some key opens; the epoch wrap counts as the root's."""
    header = commit.header
    tools = CommitKeys(header.sid, header.epoch)
    wraps = [*commit.body.wraps, (header.depth, 0, commit.epoch_wrap)]
    found = []
    for key in keys:
        for level, index, wrapped in wraps:
            try:
                tools.unwrap(key, level, index, wrapped)
            except CommitRejected:
                continue
            found.append((level, index))
    return found


def raw_open(path: set[bytes], nodes: dict[int, list[CoverNode]], envelope: bytes) -> bytes | None:
    """Try everything held on one envelope: nodes in their place, and every secret as each kind of key."""
    header = EnvelopeHeader.decode(envelope)
    lane = Lane(header.sid, header.epoch, header.slot, header.inst)
    for slot_key in _slot_keys(path, nodes, header):
        try:
            return SlotCipher.of(slot_key, lane).open(envelope, header.seq, signed=False)
        except (EnvelopeRejected, InvalidTag):
            continue
    return None


def _slot_keys(path: set[bytes], nodes: dict[int, list[CoverNode]], header: EnvelopeHeader) -> Iterable[bytes]:
    secrets = evolved(path) | {node.key for held in nodes.values() for node in held}
    for node in nodes[-1]:
        try:
            secrets.add(Cover((node,)).leaf(header.epoch))
        except ChannelError:
            continue
    for held in nodes.values():
        for node in held:
            try:
                yield Cover((node,)).leaf(header.slot)  # a slot node, of this epoch or tried on another
            except ChannelError:
                continue
    for secret in secrets:
        yield secret
        yield Cover.whole(secret).leaf(header.slot)
        yield Cover.whole(slot_root(secret, header.sid, header.epoch)).leaf(header.slot)
        yield kdf(secret, b"node")
