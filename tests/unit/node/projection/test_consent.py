"""contracts.md, finality; channels.md 4: a grant acts at finality, its revocation at first sight and for good."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from node.projection import effects as f
from node.projection import events as e
from node.projection.base import Effect, Event
from node.projection.consent import Consent, ConsentStatus, deadlines_consent, index_consent, reduce_consent
from node.projection.errors import ContradictingFact, WrongAggregate
from node.types import OPEN_END
from tests.unit.node.projection.kit import OWNER, READER, STRANGER, address, block, commit, granted, h32, revoked

G = h32("g")
S, T = h32("s"), h32("t")
IN_HAND = e.ReceivedRevocation(G, OWNER, bytes(32), 50)


def fold(*events: Event) -> tuple[Consent, list[Effect]]:
    consent = Consent(G)
    effects: list[Effect] = []
    for event in events:
        step = reduce_consent(consent, event)
        consent = step.state
        effects.extend(step.effects)
    return consent, effects


def test_a_grant_acts_only_at_finality() -> None:
    seen, effects = fold(granted(5), e.LoggedFinalized(4, 1))
    assert (seen.status, seen.live_sids, effects) == (ConsentStatus.SEEN, (), [f.NotifyGrantSeen(G)])
    live, effects = fold(granted(5), e.LoggedFinalized(5, 1), e.LoggedFinalized(6, 1))
    assert (live.status, live.live_sids) == (ConsentStatus.LIVE, (S, T))
    assert effects == [f.NotifyGrantSeen(G), f.NotifyGrantFinal(G)]


def test_a_reorg_undoes_a_grant_and_it_may_come_back() -> None:
    undone, effects = fold(granted(5), e.LoggedRolledBack(4))
    assert (undone, effects[-1]) == (Consent(G), f.NotifyGrantUndone(G, False))
    back, _ = fold(granted(5), e.LoggedRolledBack(4), granted(6, "b"), e.LoggedFinalized(6, 1))
    assert back.status is ConsentStatus.LIVE


def test_a_reorg_below_finality_undoes_a_live_grant_and_says_so() -> None:
    undone, effects = fold(granted(5), e.LoggedFinalized(9, 1), e.LoggedRolledBack(3))
    assert (undone.live_sids, effects[-1]) == ((), f.NotifyGrantUndone(G, True))


@pytest.mark.parametrize("revocation", [revoked(8), revoked(8, by=READER), IN_HAND])
def test_a_revocation_acts_at_first_sight(revocation: Event) -> None:
    gone, effects = fold(granted(5), e.LoggedFinalized(5, 1), revocation)
    assert (gone.status, gone.live_sids) == (ConsentStatus.REVOKED, ())
    told = [effect for effect in effects if isinstance(effect, f.NotifyRevoked)]
    assert [each.sids for each in told] == [(S, T)]


def test_a_revocation_survives_the_reorg_that_removes_it() -> None:
    gone, effects = fold(
        granted(5), e.LoggedFinalized(5, 1), revoked(8), e.LoggedRolledBack(7), e.LoggedFinalized(9, 1)
    )
    assert gone.status is ConsentStatus.REVOKED
    assert gone.revocations[0].block is None
    assert sum(isinstance(effect, f.NotifyRevoked) for effect in effects) == 1
    again, effects = fold(
        granted(5), e.LoggedFinalized(5, 1), revoked(8), e.LoggedRolledBack(7), revoked(9, "b"), revoked(9, "b")
    )
    assert again.revocations[0].block == block(9, "b")
    assert sum(isinstance(effect, f.NotifyRevoked) for effect in effects) == 1


def test_a_revocation_survives_the_reorg_that_removes_the_grant_too() -> None:
    gone, _ = fold(
        granted(5),
        revoked(6),
        e.LoggedRolledBack(4),
        granted(7, "b"),
        e.LoggedFinalized(99, 1),
        e.LoggedFinalized(99, 1),
    )
    assert (gone.status, gone.live_sids) == (ConsentStatus.REVOKED, ())


@pytest.mark.parametrize("revocation", [revoked(4), revoked(4, by=READER), IN_HAND])
def test_a_revocation_voids_a_grant_not_seen_yet(revocation: Event) -> None:
    void, effects = fold(revocation, granted(5), e.LoggedFinalized(9, 1))
    assert (void.status, void.live_sids, effects) == (ConsentStatus.VOIDED, (), [f.NotifyGrantVoided(G)])
    kept, _ = fold(revocation, granted(5), e.LoggedRolledBack(3), granted(6, "b"), e.LoggedFinalized(9, 1))
    assert kept.status is ConsentStatus.VOIDED


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_no_order_of_grant_and_revocation_gives_a_live_grant(order: tuple[int, ...]) -> None:
    events: list[Event] = [granted(5), revoked(5), IN_HAND, e.LoggedFinalized(5, 1)]
    gone, _ = fold(*(events[place] for place in order), e.LoggedFinalized(9, 1))
    assert gone.open_sids == ()
    assert gone.status in (ConsentStatus.REVOKED, ConsentStatus.VOIDED)


def test_a_strangers_revoke_does_nothing_before_or_after_the_grant() -> None:
    """Attack: anybody can put Revoke{account: himself, grantId} on chain."""
    early, _ = fold(revoked(4, by=STRANGER), granted(5), e.LoggedFinalized(9, 1))
    late, _ = fold(granted(5), e.LoggedFinalized(9, 1), revoked(10, by=STRANGER))
    assert early == late
    assert early.live_sids == (S, T)
    assert early.revocations == ()


def test_revoking_one_stream_leaves_the_other() -> None:
    part, effects = fold(granted(5), e.LoggedFinalized(5, 1), revoked(6, sid=S))
    assert (part.status, part.live_sids) == (ConsentStatus.LIVE, (T,))
    assert effects[-1] == f.NotifyRevoked(G, OWNER, (S,))
    whole, effects = fold(granted(5), e.LoggedFinalized(5, 1), revoked(6, sid=S), revoked(7, by=READER))
    assert (whole.status, effects[-1]) == (ConsentStatus.REVOKED, f.NotifyRevoked(G, READER, (T,)))


def test_a_part_revoked_before_the_grant_stays_shut() -> None:
    part, _ = fold(revoked(4, sid=S), granted(5), e.LoggedFinalized(5, 1))
    assert part.live_sids == (T,)
    back, _ = fold(granted(5), revoked(6, sid=S), e.LoggedRolledBack(4), granted(5, "b"), e.LoggedFinalized(9, 1))
    assert back.live_sids == (T,)


def test_a_transfer_ends_the_grants_of_the_former_owner() -> None:
    move = e.LoggedStreamTransferred(block(8), S, OWNER, STRANGER)
    part, effects = fold(granted(5), e.LoggedFinalized(5, 1), move)
    assert (part.live_sids, effects[-1]) == ((T,), f.NotifyRevoked(G, OWNER, (S,)))
    foreign = e.LoggedStreamTransferred(block(8), S, STRANGER, address("z"))
    assert fold(granted(5), e.LoggedFinalized(5, 1), foreign)[0].live_sids == (S, T)


def test_a_consent_ends_at_its_end_and_not_before() -> None:
    life = (granted(5, end=2_000), e.LoggedFinalized(5, 1))
    early, _ = fold(*life, e.DueConsentEnd(G, 1_999))
    assert early.status is ConsentStatus.LIVE
    assert [(each.name, each.at) for each in deadlines_consent(early)] == [("end", 2_000)]
    ended, effects = fold(*life, e.DueConsentEnd(G, 2_005), e.DueConsentEnd(G, 2_006))
    assert (ended.status, ended.live_sids, deadlines_consent(ended)) == (ConsentStatus.ENDED, (), ())
    assert effects.count(f.NotifyConsentEnded(G)) == 1


def test_an_open_ended_consent_has_no_deadline_and_no_end() -> None:
    live, _ = fold(granted(5, end=OPEN_END), e.LoggedFinalized(5, 1), e.DueConsentEnd(G, OPEN_END - 1))
    assert (live.status, deadlines_consent(live)) == (ConsentStatus.LIVE, ())


def test_a_refreshed_key_acts_at_finality() -> None:
    """channels.md 4.8."""
    refresh = e.LoggedKeyRegistered(block(8), G, h32("K"))
    life = (granted(5), e.LoggedFinalized(5, 1), refresh)
    waiting, _ = fold(*life)
    assert waiting.reader_key_hash == h32("k")
    final, effects = fold(*life, e.LoggedFinalized(8, 1))
    assert (final.reader_key_hash, effects[-1]) == (h32("K"), f.NotifyKeyFinal(G, h32("K")))
    undone, effects = fold(*life, e.LoggedFinalized(8, 1), e.LoggedRolledBack(6))
    assert (undone.reader_key_hash, effects[-1]) == (h32("k"), f.NotifyKeyFinal(G, h32("k")))


def test_one_grant_id_on_chain_twice_is_a_contradiction() -> None:
    with pytest.raises(ContradictingFact):
        fold(granted(5), granted(6))
    with pytest.raises(ContradictingFact):
        fold(granted(5), granted(5, sids=("s",)))
    assert fold(granted(5), granted(5)) == fold(granted(5))


def test_a_grant_of_no_stream_gives_nothing() -> None:
    assert fold(granted(5, sids=()), e.LoggedFinalized(5, 1))[0].status is ConsentStatus.VOIDED


def test_it_is_found_by_its_streams_and_its_parties() -> None:
    assert dict.fromkeys(index_consent(fold(granted(5))[0]).links) == dict.fromkeys(
        [("owner", OWNER), ("reader", READER), ("sid", S), ("sid", T)]
    )


def test_foreign_events_are_refused() -> None:
    other: Any = commit(1, 1)
    with pytest.raises(WrongAggregate):
        fold(other)
