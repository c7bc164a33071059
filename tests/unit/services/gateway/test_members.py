"""channels.md 4, rules 2 and 8: who must leave, who may join, compared with who sits on a leaf."""

from __future__ import annotations

from channels.issuer import Member
from channels.plan import Joining, Leaving
from channels.slots import OPEN_SLOT
from channels.stores.records import LeafRecord
from node.services.gateway.members import (
    OWNER,
    ActingGrant,
    by_grant,
    decode_member,
    demand,
    keyed_times,
    leaf_record,
    owner_grant,
)

G1, G2, K1, K2 = b"\x01" * 32, b"\x02" * 32, b"\x11" * 32, b"\x12" * 32
PUBLIC = {K1: b"one", K2: b"two"}


def member(grant_id: bytes, key: bytes = K1, leaf: int = 1, end: int = 100) -> Member:
    return Member(grant_id, key, leaf, 5, end, 2)


def test_a_new_grant_joins_once_its_key_has_arrived() -> None:
    grant = ActingGrant(G1, K1, 5, 100)
    assert demand({}, [grant], [], PUBLIC, frozenset()).joining == (Joining(G1, 5, 100),)
    waits = demand({}, [grant], [], {}, frozenset())
    assert (waits.joining, waits.waiting) == ((), (G1,))


def test_a_member_without_an_acting_grant_leaves_at_once() -> None:
    found = demand({G1: member(G1)}, [], [], PUBLIC, frozenset())
    assert found.leaving == (Leaving(G1, 100, True),)
    assert found.revoked_leaves == (1,)


def test_a_member_whose_grant_ran_out_leaves_at_its_slot_and_gets_no_history() -> None:
    ended = ActingGrant(G1, K1, 5, 100)
    found = demand({G1: member(G1)}, [], [ended], PUBLIC, frozenset({G1}))
    assert found.leaving == (Leaving(G1, 100, False),)
    assert (found.revoked_leaves, found.joining) == ((), ())
    assert demand({}, [], [ended], PUBLIC, frozenset({G1})).joining == ()


def test_a_grant_wholly_in_the_past_is_served_once() -> None:
    ended = ActingGrant(G1, K1, 5, 100)
    assert demand({}, [], [ended], PUBLIC, frozenset()).joining == (Joining(G1, 5, 100),)


def test_the_household_leaves_at_once_where_the_stream_is_not_its_own_any_more() -> None:
    """channels.md 4 rule 11: leaf 0 is the owner's."""
    former = {OWNER: member(OWNER, leaf=0, end=OPEN_SLOT)}
    found = demand(former, [], [], PUBLIC, frozenset(), put_out=frozenset({OWNER}))
    assert found.leaving == (Leaving(OWNER, OPEN_SLOT, True),)
    assert found.revoked_leaves == (0,)
    back = demand({}, [owner_grant(K1, 7)], [], PUBLIC, frozenset())
    assert back.joining == (Joining(OWNER, 7, OPEN_SLOT),)


def test_the_owner_never_leaves() -> None:
    found = demand({OWNER: member(OWNER, leaf=0, end=OPEN_SLOT)}, [], [], PUBLIC, frozenset())
    assert found.revoked_leaves == ()
    assert found.leaving == (Leaving(OWNER, OPEN_SLOT, False),)
    assert owner_grant(K1) == ActingGrant(OWNER, K1, 0, OPEN_SLOT)


def test_a_refreshed_key_leaves_and_joins_in_one_commit() -> None:
    """Until the new key has arrived the old one stays: a refresh must not lock the reader out."""
    fresh = ActingGrant(G1, K2, 5, 100)
    renewed = demand({G1: member(G1)}, [fresh], [], PUBLIC, frozenset())
    assert renewed.leaving == (Leaving(G1, 100, True),)
    assert renewed.joining == (Joining(G1, 5, 100),)
    assert renewed.revoked_leaves == ()
    waits = demand({G1: member(G1)}, [fresh], [], {K1: b"one"}, frozenset())
    assert (waits.leaving, waits.joining) == ((Leaving(G1, 100, False),), ())


def test_one_refresh_a_day() -> None:
    """channels.md 4, rule 8: a reader cannot make the writer commit as often as it likes."""
    fresh = ActingGrant(G1, K2, 5, 100)
    waits = demand({G1: member(G1)}, [fresh], [], PUBLIC, frozenset(), frozenset({G1}))
    assert (waits.leaving, waits.joining) == ((Leaving(G1, 100, False),), ())
    kept = [leaf_record(member(G1), 1_700_000_000), leaf_record(member(G2, leaf=2))]
    assert keyed_times(kept) == {G1: 1_700_000_000}
    assert by_grant(kept)[G1] == member(G1)


def test_a_leaf_that_was_noted_before_refreshes_were_counted_still_decodes() -> None:
    old = leaf_record(member(G1))
    first = LeafRecord(old.leaf, old.grant_id, old.end_slot, b"\x00\x01" + old.data[2:-8])
    assert decode_member(first) == member(G1)
    assert keyed_times([first]) == {}


def test_members_survive_the_store() -> None:
    records = [leaf_record(member(G1)), leaf_record(member(G2, K2, 7, 9)), LeafRecord(3, None, 0, b"")]
    assert decode_member(records[1]) == member(G2, K2, 7, 9)
    assert by_grant(records) == {G1: member(G1), G2: member(G2, K2, 7, 9)}
