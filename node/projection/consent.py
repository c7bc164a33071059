"""A consent on chain: a grant acts at finality, its end and its revocation act at first sight.

A revocation is the owner's or the reader's signed will: once seen it stands, whatever a reorg does to the block that
carried it, and it voids a grant that is not seen yet. Anybody can put a Revoke for any id on chain; it counts only from
the two parties of the grant, whom the grant id (a digest over both addresses) fixes for good. A transfer of a stream
was signed by its owner and is treated like a revocation of that stream by the owner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from node.projection.base import ALL_STREAMS, Block, Deadline, Effect, Event, State, StateIndex, Step
from node.projection.effects import (
    NotifyConsentEnded,
    NotifyGrantFinal,
    NotifyGrantSeen,
    NotifyGrantUndone,
    NotifyGrantVoided,
    NotifyKeyFinal,
    NotifyRevoked,
)
from node.projection.errors import ContradictingFact, WrongAggregate
from node.projection.events import (
    DueConsentEnd,
    LoggedFinalized,
    LoggedGranted,
    LoggedKeyRegistered,
    LoggedRevoked,
    LoggedRolledBack,
    LoggedStreamTransferred,
    ReceivedRevocation,
)
from node.projection.facts import Fact, add, cut, settle, top_block, unsettled_block
from node.projection.machine import Machine
from node.types import OPEN_END

__all__ = [
    "CONSENT_MACHINE",
    "Consent",
    "ConsentStatus",
    "ReaderKey",
    "Revocation",
    "Terms",
    "deadlines_consent",
    "index_consent",
    "reduce_consent",
]


class ConsentStatus(StrEnum):
    """`seen`: on chain, not final. `voided`: it came after its own revocation. `ended`: it ran out."""

    NONE = "none"
    SEEN = "seen"
    LIVE = "live"
    REVOKED = "revoked"
    VOIDED = "voided"
    ENDED = "ended"


_N, _S, _L = ConsentStatus.NONE, ConsentStatus.SEEN, ConsentStatus.LIVE
_NONE, _LIVE, _REVOKED = frozenset({_N}), frozenset({_L}), frozenset({ConsentStatus.REVOKED})
_ENDED = frozenset({ConsentStatus.ENDED})
CONSENT_MACHINE = Machine(
    "consent",
    _N,
    {
        (_N, LoggedGranted): frozenset({_S, ConsentStatus.VOIDED}),
        (_S, LoggedFinalized): _LIVE,
        (_S, LoggedRevoked): _REVOKED,
        (_S, ReceivedRevocation): _REVOKED,
        (_S, LoggedStreamTransferred): _REVOKED,
        (_S, DueConsentEnd): _ENDED,
        (_S, LoggedRolledBack): _NONE,
        (_L, LoggedRevoked): _REVOKED,
        (_L, ReceivedRevocation): _REVOKED,
        (_L, LoggedStreamTransferred): _REVOKED,
        (_L, DueConsentEnd): _ENDED,
        (_L, LoggedRolledBack): _NONE,
    },
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the owner signed, except nonce and deadline. `end` is OPEN_END for a grant without one."""

    owner: bytes
    reader: bytes
    reader_key_hash: bytes
    sids: tuple[bytes, ...]
    start: int
    end: int
    purpose_tag: int
    text_hash: bytes


@dataclass(frozen=True, slots=True)
class Revocation:
    """`block` None: known from a signature in hand, or its block was removed by a reorg."""

    account: bytes
    sid: bytes
    block: Block | None


@dataclass(frozen=True, slots=True)
class ReaderKey(Fact):
    reader_key_hash: bytes


@dataclass(frozen=True, slots=True)
class Consent(State):
    grant_id: bytes
    status: ConsentStatus = ConsentStatus.NONE
    terms: Terms | None = None
    granted: Block | None = None
    revocations: tuple[Revocation, ...] = ()
    keys: tuple[ReaderKey, ...] = ()

    @property
    def open_sids(self) -> tuple[bytes, ...]:
        """Streams of the grant that no party has revoked, whether the grant acts yet or not."""
        if self.terms is None:
            return ()
        parties = (self.terms.owner, self.terms.reader)
        shut = {revocation.sid for revocation in self.revocations if revocation.account in parties}
        return () if ALL_STREAMS in shut else tuple(sid for sid in self.terms.sids if sid not in shut)

    @property
    def live_sids(self) -> tuple[bytes, ...]:
        """Streams that may be read under this grant now (from `terms.start` on); empty unless it is live."""
        return self.open_sids if self.status is ConsentStatus.LIVE else ()

    @property
    def reader_key_hash(self) -> bytes | None:
        """The key that acts: the newest final refresh, else the one in the grant."""
        final = [key.reader_key_hash for key in self.keys if key.final]
        if final:
            return final[-1]
        return self.terms.reader_key_hash if self.terms else None


def _move(consent: Consent, event: Event, target: ConsentStatus) -> ConsentStatus:
    return CONSENT_MACHINE.move(consent.status, event, target)


def _acts(consent: Consent) -> bool:
    return consent.status in (ConsentStatus.SEEN, ConsentStatus.LIVE)


def _granted(consent: Consent, event: LoggedGranted) -> Step[Consent]:
    terms = Terms(
        event.owner,
        event.reader,
        event.reader_key_hash,
        event.sids,
        event.start,
        event.end,
        event.purpose_tag,
        event.text_hash,
    )
    if consent.terms is not None:
        if consent.terms != terms or consent.granted not in (None, event.block):
            raise ContradictingFact("one grant id stands on chain twice")
        return Step(replace(consent, granted=event.block))
    parties = (event.owner, event.reader)
    kept = tuple(revocation for revocation in consent.revocations if revocation.account in parties)
    after = replace(consent, terms=terms, granted=event.block, revocations=kept)
    if after.open_sids:
        return Step(replace(after, status=_move(consent, event, _S)), (NotifyGrantSeen(event.grant_id),))
    voided = _move(consent, event, ConsentStatus.VOIDED)
    return Step(replace(after, status=voided), (NotifyGrantVoided(event.grant_id),))


def _with(consent: Consent, account: bytes, sid: bytes, block: Block | None) -> tuple[Revocation, ...]:
    """The revocations after this one was told; the same tuple if it says nothing new."""
    for place, known in enumerate(consent.revocations):
        if (known.account, known.sid) == (account, sid):
            if block is None or known.block is not None:
                return consent.revocations
            found = replace(known, block=block)
            return (*consent.revocations[:place], found, *consent.revocations[place + 1 :])
    return (*consent.revocations, Revocation(account, sid, block))


def _revoked(consent: Consent, event: Event, account: bytes, sid: bytes, block: Block | None) -> Step[Consent]:
    terms = consent.terms
    if terms is not None and account not in (terms.owner, terms.reader):
        # A stranger's Revoke is on chain but has no force; keeping it would let anybody fill this state.
        return Step(consent)
    revocations = _with(consent, account, sid, block)
    if revocations is consent.revocations:
        return Step(consent)
    after = replace(consent, revocations=revocations)
    left = after.open_sids
    shut = tuple(each for each in consent.open_sids if each not in left)
    if not _acts(consent) or not shut:
        return Step(after)
    if not left:
        after = replace(after, status=_move(consent, event, ConsentStatus.REVOKED))
    return Step(after, (NotifyRevoked(consent.grant_id, account, shut),))


def _rolled_back(consent: Consent, event: LoggedRolledBack) -> Step[Consent]:
    height = event.ancestor_height
    revocations = tuple(
        replace(known, block=None) if known.block is not None and known.block.number > height else known
        for known in consent.revocations
    )
    after = replace(consent, revocations=revocations, keys=cut(consent.keys, height))
    if consent.granted is None or consent.granted.number <= height:
        changed = after.reader_key_hash != consent.reader_key_hash and consent.status is _L
        notice = (NotifyKeyFinal(consent.grant_id, after.reader_key_hash or bytes(32)),) if changed else ()
        return Step(after, notice)
    if not _acts(consent):
        return Step(replace(after, granted=None))
    undone = replace(after, status=_move(consent, event, _N), terms=None, granted=None)
    return Step(undone, (NotifyGrantUndone(consent.grant_id, consent.status is _L),))


def _finalized(consent: Consent, event: LoggedFinalized) -> Step[Consent]:
    keys = settle(consent.keys, event.height)
    after = consent if keys is consent.keys else replace(consent, keys=keys)
    effects: list[Effect] = []
    if consent.status is _S and consent.granted is not None and consent.granted.number <= event.height:
        after = replace(after, status=_move(consent, event, _L))
        effects.append(NotifyGrantFinal(consent.grant_id))
    elif after.status is _L and after.reader_key_hash not in (None, consent.reader_key_hash):
        effects.append(NotifyKeyFinal(consent.grant_id, after.reader_key_hash or bytes(32)))
    return Step(after, tuple(effects))


def _ended(consent: Consent, event: DueConsentEnd) -> Step[Consent]:
    # A timer may be told late or twice; only one that matches the terms of a grant that still acts counts.
    if not _acts(consent) or consent.terms is None or event.at < consent.terms.end:
        return Step(consent)
    ended = replace(consent, status=_move(consent, event, ConsentStatus.ENDED))
    return Step(ended, (NotifyConsentEnded(consent.grant_id),))


def reduce_consent(consent: Consent, event: Event) -> Step[Consent]:
    match event:
        case LoggedGranted():
            return _granted(consent, event)
        case LoggedRevoked():
            return _revoked(consent, event, event.account, event.sid, event.block)
        case ReceivedRevocation():
            return _revoked(consent, event, event.account, event.sid, None)
        case LoggedStreamTransferred():
            return _revoked(consent, event, event.owner, event.sid, event.block)
        case LoggedKeyRegistered():
            key = ReaderKey(event.block, False, event.reader_key_hash)
            return Step(replace(consent, keys=add(consent.keys, key)))
        case DueConsentEnd():
            return _ended(consent, event)
        case LoggedRolledBack():
            return _rolled_back(consent, event)
        case LoggedFinalized():
            return _finalized(consent, event)
        case _:
            raise WrongAggregate(f"{type(event).__name__} does not concern a consent")


def _outermost(choose: Callable[[int, int], int], known: int | None, block: Block | None) -> int | None:
    if block is None:
        return known
    return block.number if known is None else choose(known, block.number)


def index_consent(consent: Consent) -> StateIndex:
    granted = consent.granted
    top, waiting = top_block(consent.keys), unsettled_block(consent.keys)
    for known in consent.revocations:
        top = _outermost(max, top, known.block)
    top = _outermost(max, top, granted)
    if consent.status is _S:
        waiting = _outermost(min, waiting, granted)
    links: tuple[tuple[str, bytes], ...] = ()
    if consent.terms is not None:
        sids = tuple(("sid", sid) for sid in dict.fromkeys(consent.terms.sids))
        links = (("owner", consent.terms.owner), ("reader", consent.terms.reader), *sids)
    return StateIndex(consent.status.value, top, waiting, None, links)


def deadlines_consent(consent: Consent) -> tuple[Deadline, ...]:
    if _acts(consent) and consent.terms is not None and consent.terms.end < OPEN_END:
        return (Deadline("end", consent.terms.end),)
    return ()
