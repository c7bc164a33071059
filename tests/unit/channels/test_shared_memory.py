"""What readers share is remembered as long as it says, answers exactly what was asked, and saves the work."""

from __future__ import annotations

from collections import Counter

import pytest

from channels.checkpoint import Checkpoint
from channels.commit import Commit, Header
from channels.envelope import EnvelopeHeader, Lane, SlotCipher
from channels.kdf import sha256
from channels.shared import Shared
from tests.unit.channels.test_shared import counted as counted  # a fixture
from tests.unit.channels.world import World


def sealed(count: int = 4, signed: bool = False) -> tuple[World, SlotCipher, list[bytes]]:
    """A stream with one slot of envelopes, and the cipher that its reader has for them."""
    world = World.start(0, readers=1, signed=signed)
    envelopes = world.seal(0, *(b"%d" % number for number in range(count)))
    header = EnvelopeHeader.decode(envelopes[0], signed)
    lane = Lane(header.sid, header.epoch, header.slot, header.inst)
    return world, world.welcome(1).keyring.cipher(lane), envelopes


def place(envelopes: list[bytes], at: int) -> tuple[int, bytes]:
    return at + 1, sha256(envelopes[at - 1])


def remembered(shared: Shared) -> int:
    return sum(len(run) for run, _, _ in shared._runs.values())


def test_a_commit_is_parsed_checked_and_hashed_once(counted: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    world = World.start(0, readers=2)
    data = world.commits[-1]
    shared, header = Shared(), Header.decode(data)
    assert shared.header(data) == header
    signed = shared.signed_hash(world.writer.params, data, header)
    commit = shared.commit(data, header)
    counted.clear()
    assert shared.signed_hash(world.writer.params, data, header) == signed == Commit.hash_of(data)
    assert shared.commit(data, header) is commit
    monkeypatch.setattr(Commit, "hash_of", None)
    assert shared.header(data) is commit.header
    assert shared.commit_hash(data) == signed
    assert not counted


def test_the_last_ones_are_remembered_and_the_number_can_change() -> None:
    world = World.start(0, readers=4)
    for leaf in range(1, 4):
        world.commit(1, removed=[leaf])
    shared = Shared(2)

    def take() -> None:
        for data in world.commits:
            shared.signed_hash(world.writer.params, data, Header.decode(data))
            shared.commit(data, Header.decode(data))

    take()
    assert list(shared._commits) == world.commits[-2:]
    assert list(shared._commits.values()) == [Commit.decode(data) for data in world.commits[-2:]]
    assert [key[0] for key in shared._signed if isinstance(key, tuple)] == world.commits[-2:]
    shared.keep(3)
    take()
    assert list(shared._commits)[-3:] == world.commits[-3:]
    assert len(shared._commits) == len(shared._signed) == 3


def test_an_eighth_as_many_checkpoints_are_remembered(counted: Counter[str]) -> None:
    world, points = World.start(0), list[bytes]()
    for slot in range(1, 4):
        world.seal(slot, b"reading")
        points += world.writer.close_slot(slot)
    public, shared = world.writer.params.stream_public, Shared(16)
    found = [shared.checkpoint(data, public) for data in points]
    assert len(shared._checkpoints) == 2
    counted.clear()
    assert [shared.checkpoint(data, public) for data in points[-2:]] == found[-2:]
    assert not counted
    assert shared.checkpoint(points[0], public) == found[0] == Checkpoint.decode(points[0])
    assert counted["checkpoint"] == 1, "the oldest one was forgotten"


@pytest.mark.parametrize("signed", [False, True])
def test_a_run_is_opened_once_and_shared_as_far_as_the_envelopes_are_the_same(
    signed: bool, counted: Counter[str]
) -> None:
    world, cipher, envelopes = sealed(signed=signed)
    public, shared = world.writer.params.stream_public if signed else b"", Shared()
    whole = [b"1", b"2", b"3"], sha256(envelopes[3])
    assert shared.open_chain(cipher, envelopes, 1, place(envelopes, 1), public) == whole
    assert counted["opened"] == 3
    assert shared.open_chain(cipher, envelopes, 1, place(envelopes, 1), public) == whole
    part = [b"1", b"2"], sha256(envelopes[2])
    assert shared.open_chain(cipher, envelopes[:3], 1, place(envelopes, 1), public) == part
    assert counted["opened"] == 3, "of these, nothing was opened again"
    other = [*envelopes[:2], envelopes[3]]
    assert shared.open_chain(cipher, other, 1, place(envelopes, 1), public) == ([b"1"], sha256(envelopes[1]))
    assert counted["opened"] == 4
    assert shared.open_chain(cipher, envelopes, 2, place(envelopes, 2), public)[0] == [b"2", b"3"]
    assert counted["opened"] == 6


def test_a_run_that_nobody_signed_opens_nowhere() -> None:
    world, cipher, envelopes = sealed(signed=True)
    bent = [*envelopes[:2], envelopes[2][:-1] + bytes([envelopes[2][-1] ^ 1]), envelopes[3]]
    public, shared = world.writer.params.stream_public, Shared()
    for _ in range(2):
        assert shared.open_chain(cipher, bent, 1, place(envelopes, 1), public)[0] == [b"1"]
    assert shared.open_chain(cipher, bent, 2, place(envelopes, 2), public)[0] == []
    assert len(shared._runs) == 1, "what did not open is not remembered"


def test_eight_times_as_many_envelopes_are_remembered_and_counted_exactly() -> None:
    _, cipher, envelopes = sealed(22)
    shared = Shared(2)

    def opened(first: int, last: int) -> None:
        assert len(shared.open_chain(cipher, envelopes[: last + 1], first, place(envelopes, first), b"")[0]) > 0

    opened(1, 9)
    opened(10, 16)
    assert (remembered(shared), shared._opened, len(shared._runs)) == (16, 16, 2)
    opened(17, 17)
    assert (remembered(shared), shared._opened, len(shared._runs)) == (8, 8, 2), "the oldest run was forgotten"
    shared.open_chain(cipher, [*envelopes[:12], *envelopes[13:]], 10, place(envelopes, 10), b"")
    assert (remembered(shared), shared._opened, len(shared._runs)) == (3, 3, 2), "a run in the place of another"
    opened(1, 8)
    opened(18, 21)
    assert (remembered(shared), shared._opened, len(shared._runs)) == (15, 15, 4)
