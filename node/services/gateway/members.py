"""Who sits on which leaf, and what the present consents ask to change about it. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from channels.issuer import Member
from channels.plan import Joining, Leaving
from channels.slots import OPEN_SLOT
from channels.stores.records import LeafRecord

__all__ = [
    "KEY_LASTS",
    "OWNER",
    "ActingGrant",
    "Demand",
    "by_grant",
    "decode_member",
    "demand",
    "encode_member",
    "keyed_times",
    "leaf_record",
    "owner_grant",
]

OWNER = bytes(32)
"""The id under which the household itself is a member: leaf 0 has no grant on chain (channels.md)."""

KEY_LASTS = 86_400
"""Seconds that a refreshed key stays: a refresh costs the writer a commit, so there is one a day (channels.md 4, 8)."""

_MEMBER = struct.Struct(">H32sQIIQ")
_KEYED = struct.Struct(">Q")
_FIRST = 1
_VERSION = 2


@dataclass(frozen=True, slots=True)
class ActingGrant:
    """A final grant that covers this stream now or later: slots `[start_slot, end_slot)`, 32-byte hash of its key."""

    grant_id: bytes
    reader_key_hash: bytes
    start_slot: int
    end_slot: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What a plan starts from. `waiting` are grants whose reader key has not arrived yet."""

    leaving: tuple[Leaving, ...]
    joining: tuple[Joining, ...]
    revoked_leaves: tuple[int, ...]
    waiting: tuple[bytes, ...]


def encode_member(member: Member, keyed_at: int = 0) -> bytes:
    """The writer's own note beside a leaf. `keyed_at`: when its key was refreshed, seconds UTC; 0 for never."""
    fixed = _MEMBER.pack(
        _VERSION, member.reader_key_hash, member.start_slot, member.end_slot, member.leaf, member.joined_epoch
    )
    return fixed + _KEYED.pack(keyed_at)


def decode_member(record: LeafRecord) -> Member:
    """The inverse of `encode_member`, for all versions; the record must be occupied."""
    _, key_hash, start_slot, end_slot, leaf, joined_epoch = _MEMBER.unpack_from(record.data)
    return Member(record.grant_id or OWNER, key_hash, leaf, start_slot, end_slot, joined_epoch)


def leaf_record(member: Member, keyed_at: int = 0) -> LeafRecord:
    """An occupied leaf for the store."""
    return LeafRecord(member.leaf, member.grant_id, member.end_slot, encode_member(member, keyed_at))


def keyed_times(records: Iterable[LeafRecord]) -> dict[bytes, int]:
    """When the keys of grants were refreshed; those that never were are left out."""
    found: dict[bytes, int] = {}
    for record in records:
        if record.grant_id is not None and int.from_bytes(record.data[:2], "big") > _FIRST:
            (keyed_at,) = _KEYED.unpack_from(record.data, _MEMBER.size)
            if keyed_at:
                found[record.grant_id] = keyed_at
    return found


def demand(
    members: Mapping[bytes, Member],
    acting: Iterable[ActingGrant],
    ended: Iterable[ActingGrant],
    keys: Mapping[bytes, bytes],
    served: frozenset[bytes],
    lasting: frozenset[bytes] = frozenset(),
    put_out: frozenset[bytes] = frozenset(),
) -> Demand:
    """Compares who is a member with who should be.

    `ended` are grants that ran out by themselves: their members leave at their end slot, in the order of the slots, and
    not at once. Any other member without an acting grant was revoked, undone or transferred away and leaves at once.
    `served` are grants that were sent a capsule before: an ended one among them needs no History.
    `keys` maps a key hash to the public key of the reader, as far as they arrived. `lasting` are grants whose key was
    refreshed within the last day: a further refresh of theirs waits until the day is over. `put_out` are members that
    leave at once although no grant of theirs ended: the household that is not the owner of the stream any more. Where
    another one is by now, that one joins once the former has left.
    """
    wanted = {grant.grant_id: grant for grant in acting}
    over = {grant.grant_id: grant for grant in ended}
    leaving: list[Leaving] = []
    revoked: list[int] = []
    joining: list[Joining] = []
    waiting: list[bytes] = []
    for grant_id, member in members.items():
        grant = wanted.get(grant_id)
        gone = grant_id in put_out or (grant is None and grant_id != OWNER and grant_id not in over)
        # A refreshed key leaves and joins in one commit; until the new key has arrived the old one stays.
        refreshed = grant is not None and grant.reader_key_hash != member.reader_key_hash and grant_id not in lasting
        renew = refreshed and not gone and grant is not None and grant.reader_key_hash in keys
        leaving.append(Leaving(grant_id, member.end_slot, gone or renew))
        if gone:
            revoked.append(member.leaf)
        if renew and grant is not None:
            joining.append(Joining(grant_id, grant.start_slot, grant.end_slot))
    late = {grant_id: grant for grant_id, grant in over.items() if grant_id not in served}
    for grant_id, grant in {**late, **wanted}.items():
        if grant_id in members or (grant_id in served and grant_id in over):
            continue
        if grant.reader_key_hash in keys:
            joining.append(Joining(grant_id, grant.start_slot, grant.end_slot))
        else:
            waiting.append(grant_id)
    return Demand(tuple(leaving), tuple(joining), tuple(revoked), tuple(waiting))


def owner_grant(key_hash: bytes, since: int = 0) -> ActingGrant:
    """The household's own membership: all slots of its time as owner, for ever."""
    return ActingGrant(OWNER, key_hash, since, OPEN_SLOT)


def by_grant(records: Sequence[LeafRecord]) -> dict[bytes, Member]:
    """Members by grant id."""
    found = [decode_member(record) for record in records if record.grant_id is not None]
    return {member.grant_id: member for member in found}
