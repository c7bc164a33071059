"""Short forms of the ConsentRegistry: the shortest call for a message, and what the event of a grant packs.

What a batch carries are calls like these, as they would be made singly.
"""

from __future__ import annotations

from typing import NamedTuple

from contracts.bindings.consent_registry import (
    Granted,
    GrantLike,
    RevokeLike,
    ShortGrant,
    encode_grant,
    encode_grant_short,
    encode_revoke,
    encode_revoke_direct,
)

__all__ = ["GrantTerms", "grant_call", "granted_terms", "revoke_call"]

_HIGHEST_BIT = 1 << 255


def grant_call(m: GrantLike, sig: bytes) -> bytes:
    """Calldata of a Grant: `grantShort` for a signature of the form that keys make, else `grant`.

    Only the form counts, not whose signature it is: the registry judges both alike. An empty signature, which means
    that the sender is the owner, goes with `grant`.
    """
    s = int.from_bytes(sig[32:64], "big")
    if len(sig) != 65 or sig[64] not in (27, 28) or s >= _HIGHEST_BIT:
        return encode_grant(m, sig)
    short = ShortGrant(
        terms=int.from_bytes(m.reader, "big") | m.start << 160 | m.end << 200,
        origin=int.from_bytes(m.owner, "big") | m.deadline << 160 | m.purpose_tag << 200,
        reader_key_hash=m.reader_key_hash,
        text_hash=m.text_hash,
        nonce=m.nonce,
        r=sig[:32],
        vs=(s | (_HIGHEST_BIT if sig[64] == 28 else 0)).to_bytes(32, "big"),
    )
    return encode_grant_short(short, m.sids)


def revoke_call(m: RevokeLike, sig: bytes, sender: bytes = b"") -> bytes:
    """Calldata of a Revoke: `revokeDirect` where an empty signature says that the sender is the account, and it is.

    `revokeDirect` names nobody. From another sender it would revoke as that one, where `revoke` refuses.
    """
    if sig or sender != m.account:
        return encode_revoke(m, sig)
    return encode_revoke_direct(m.grant_id, m.sid)


class GrantTerms(NamedTuple):
    """Of a grant: the slots in `[start, end)`, seconds UTC, and the tag of its purpose."""

    start: int
    end: int
    purpose_tag: int


def granted_terms(event: Granted) -> GrantTerms:
    """Unpack what `Granted` tells in one word: `start | end << 40 | purposeTag << 80`."""
    time = 2**40 - 1
    return GrantTerms(event.terms & time, event.terms >> 40 & time, event.terms >> 80 & 2**32 - 1)
