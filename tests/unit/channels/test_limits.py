"""The last value that is allowed and the first that is not, for every limit of the protocol, and what is signed.

Both sides of a stream use the same code, so a limit or a label that moved on both would go unnoticed without these.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from channels.allocation import allocate, depth_for
from channels.asks import VALID_SECONDS, Ask, AskKind, AskLimiter
from channels.capsule import NO_LEAF, CapsuleHeader, CapsuleKind, _decode_plain
from channels.checkpoint import Checkpoint
from channels.codec import LAST_EPOCH, LAST_SEQ, ByteReader, ByteWriter
from channels.commit import MAX_DEPTH, Commit, Header, second_message
from channels.envelope import ENVELOPE_OVERHEAD, MAX_PLAINTEXT, EnvelopeHeader, Lane, SlotCipher
from channels.errors import ChainSilent, ClockSkew, CommitTooLarge, FormatError, SnapshotInvalid, UsageError
from channels.gate import MAX_SKEW_LIMIT, Evidence, Gate
from channels.ggm import LEAVES, Cover
from channels.history import Covers
from channels.keyring import Keyring
from channels.masters import Masters
from channels.path import Path
from channels.readings import MAX_READINGS, Measurement, decode_batch, encode_batch
from channels.slots import LAST_SLOT, OPEN_SLOT
from channels.tree import DEAD, KeyTree, TreeDelta
from channels.watch import Watch
from channels.writer import Changes, Join
from tests.unit.channels.world import STREAM_KEY, TWO_KEYS, World, at, evidence, hashed, params

SID = hashed("sid")
LANE = Lane(SID, 3, 7, bytes(range(16)))
KEY = hashed("slot key")


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    """Ed25519 by the library, with no code of ours between."""
    Ed25519PublicKey.from_public_bytes(public[:32]).verify(signature, message)


class TestEnvelopes:
    @pytest.mark.parametrize(("signed", "tail"), [(False, 0), (True, 64)])
    def test_lengths(self, signed: bool, tail: int) -> None:
        head = LANE.prefix() + bytes(8 + 32)
        for inside in (0, 1, MAX_PLAINTEXT):
            EnvelopeHeader.decode(head + bytes(16 + tail + inside), signed)
        for wrong in (-1, MAX_PLAINTEXT + 1):
            with pytest.raises(FormatError):
                EnvelopeHeader.decode(head + bytes(16 + tail + wrong), signed)

    def test_numbers(self) -> None:
        def envelope(epoch: int, seq: int) -> bytes:
            return replace_epoch(epoch) + seq.to_bytes(8, "big") + bytes(32 + 16)

        def replace_epoch(epoch: int) -> bytes:
            return LANE.prefix()[:34] + epoch.to_bytes(8, "big") + LANE.prefix()[42:]

        assert EnvelopeHeader.decode(envelope(LAST_EPOCH, LAST_SEQ))[1:5:3] == (LAST_EPOCH, LAST_SEQ)
        for epoch, seq in ((LAST_EPOCH + 1, 1), (1, LAST_SEQ + 1)):
            with pytest.raises(FormatError):
                EnvelopeHeader.decode(envelope(epoch, seq))

    @pytest.mark.parametrize("signer", [None, STREAM_KEY])
    def test_a_whole_run_is_opened_in_one_call(self, signer: None) -> None:
        """Left to the careful path one by one, everything would still be right, a hundred times slower."""
        cipher = SlotCipher.of(KEY, LANE)
        plain = [b"%d" % number for number in range(9)] + [bytes(MAX_PLAINTEXT)]
        envelopes, last = cipher.seal_chain(plain, 5, hashed("before"), signer)
        checked: list[bytes] = []

        def check(message: bytes, signature: bytes) -> None:
            verify(STREAM_KEY.public_bytes, signature, message)
            assert message.startswith(b"ckt1 envelope\x00" + LANE.prefix())
            checked.append(message)

        found = cipher.open_chain(["noise", *envelopes], 1, 5, hashed("before"), check if signer else None)  # type: ignore[list-item]
        assert found == (plain, last)
        assert len(checked) == (10 if signer else 0)
        assert cipher.open_chain(envelopes, 4, 9, EnvelopeHeader.decode(envelopes[4], bool(signer)).prev_hash)[1] != b""

    def test_a_run_ends_before_what_does_not_continue_it(self) -> None:
        cipher = SlotCipher.of(KEY, LANE)
        envelopes, _ = cipher.seal_chain([b"a", b"b", b"c"], 1, bytes(32))
        tip = EnvelopeHeader.decode(envelopes[2]).prev_hash
        bent = envelopes[2][:-1] + bytes([envelopes[2][-1] ^ 1])
        assert cipher.open_chain([*envelopes[:2], bent], 0, 1, bytes(32)) == ([b"a", b"b"], tip)
        assert cipher.open_chain([*envelopes[:2], envelopes[1]], 0, 1, bytes(32)) == ([b"a", b"b"], tip)
        assert cipher.open_chain(envelopes, 0, 2, bytes(32)) == ([], bytes(32))
        long = cipher.seal_chain([bytes(MAX_PLAINTEXT + 1)], 1, bytes(32))[0]
        assert len(long[0]) == ENVELOPE_OVERHEAD + MAX_PLAINTEXT + 1
        assert cipher.open_chain(long, 0, 1, bytes(32)) == ([], bytes(32))

    def test_the_longest_plaintext_is_sealed(self) -> None:
        world = World.start(0, readers=1)
        reader = world.welcome(1)
        [envelope] = world.seal(0, bytes(MAX_PLAINTEXT))
        assert len(reader.open([envelope]).readings[0].plaintext) == MAX_PLAINTEXT
        with pytest.raises(UsageError):
            world.seal(0, bytes(MAX_PLAINTEXT + 1))

    def test_nothing_to_seal_gives_nothing(self) -> None:
        sealed = World.start(0).writer.seal([], evidence(at(0)))
        assert (sealed.envelopes, sealed.checkpoints) == ([], ())


class TestCommits:
    def header(self, **changed: int) -> bytes:
        header = Header(SID, 1, bytes(32), 0, 0, 1, 0, 0, 0, 0)._replace(**changed)  # type: ignore[arg-type]
        return header.encode() + bytes(40 + 32 + 65)

    @pytest.mark.parametrize(
        ("field", "last", "more"),
        [
            ("epoch", LAST_EPOCH, {}),
            ("first_slot", LAST_SLOT, {}),
            ("depth", MAX_DEPTH, {}),
            ("n_live", 8, {"depth": 3}),
        ],
    )
    def test_header_numbers(self, field: str, last: int, more: dict[str, int]) -> None:
        assert getattr(Header.decode(self.header(**more, **{field: last})), field) == last
        with pytest.raises(FormatError):
            Header.decode(self.header(**more, **{field: last + 1}))

    @pytest.mark.parametrize("field", ["n_rem", "n_add", "n_wraps"])
    def test_counts_fit_sixteen_bits(self, field: str) -> None:
        header = Header(SID, 1, bytes(32), 0, 0, 1, 0, 0, 0, 0)
        header._replace(**{field: 0xFFFF}).encode()  # type: ignore[arg-type]
        with pytest.raises(CommitTooLarge):
            header._replace(**{field: 0x10000}).encode()  # type: ignore[arg-type]

    def test_every_short_message_is_refused_as_such(self) -> None:
        data = self.header()
        for size in range(len(data)):
            with pytest.raises(FormatError):
                Header.decode(data[:size])

    def test_added_leaves_lie_in_the_tree(self) -> None:
        def commit(leaf: int) -> bytes:
            header = Header(SID, 1, bytes(32), 0, 2, 1, 0, 0, 1, 0)
            return header.encode() + leaf.to_bytes(4, "big") + b"\x01" * 40 + bytes(32 + 65)

        assert Commit.decode(commit(3)).body.added == (3,)
        with pytest.raises(FormatError):
            Commit.decode(commit(4))

    def test_what_the_second_key_signs(self) -> None:
        world = World.start(0, two_signatures=True)
        [data] = world.commits
        commit = Commit.decode(data)
        assert second_message(commit.commit_hash) == b"ckt1 commit\x00" + commit.commit_hash
        assert TWO_KEYS.sign_ml_dsa(b"x") != TWO_KEYS.sign_ml_dsa(b"y")


class TestOtherMessages:
    def test_checkpoints(self) -> None:
        def point(epoch: int, first: int, count: int) -> bytes:
            return Checkpoint(SID, epoch, 0, first, count, bytes(32), bytes(32)).sign(STREAM_KEY)

        for good in (point(LAST_EPOCH, 1, 0), point(1, LAST_SEQ - 1, 2)):
            found = Checkpoint.verify(good, STREAM_KEY.public_bytes)
            verify(STREAM_KEY.public_bytes, good[-64:], b"ckt1 checkpoint\x00" + good[:-64])
            assert found.sign(STREAM_KEY) == good
        for bad in (point(LAST_EPOCH + 1, 1, 0), point(1, LAST_SEQ, 2), point(1, 0, 1)):
            with pytest.raises(FormatError):
                Checkpoint.decode(bad)

    def test_capsules(self) -> None:
        def capsule(epoch: int, size: int = 100) -> bytes:
            return CapsuleHeader(CapsuleKind.HISTORY, epoch, NO_LEAF).encode() + bytes(size)

        assert CapsuleHeader.decode(capsule(LAST_EPOCH)).epoch == LAST_EPOCH
        assert CapsuleHeader.decode(capsule(1, 65)).epoch == 1
        for bad in (capsule(LAST_EPOCH + 1), capsule(1, 64), capsule(1, 0)):
            with pytest.raises(FormatError):
                CapsuleHeader.decode(bad)

    @pytest.mark.parametrize(
        ("leaf", "depth", "good"), [(1, 1, True), (2, 1, False), (0, MAX_DEPTH, True), (0, 32, False)]
    )
    def test_the_place_that_a_capsule_gives(self, leaf: int, depth: int, good: bool) -> None:
        out = ByteWriter().u32(leaf).u64(1).u8(depth).raw(bytes(32) * (depth + 2))
        Covers((), ()).write(out)
        header = CapsuleHeader(CapsuleKind.WELCOME, 1, leaf)
        if good:
            membership, _ = _decode_plain(out.done(), header)
            assert membership is not None
            assert len(membership.path_keys) == depth + 1
        else:
            with pytest.raises(FormatError):
                _decode_plain(out.done(), header)

    def test_covers_come_in_order_of_their_epochs(self) -> None:
        nodes = Cover.whole(KEY).nodes
        for order, good in (((1, 2, 3), True), ((1, 1), False), ((2, 1), False), ((1, 3, 2), False)):
            out = ByteWriter()
            Covers((), tuple((epoch, nodes) for epoch in order)).write(out)
            if good:
                assert [epoch for epoch, _ in Covers.read(ByteReader(out.done())).slots] == list(order)
            else:
                with pytest.raises(FormatError):
                    Covers.read(ByteReader(out.done()))

    def test_a_flag_is_nothing_but_0_or_1(self) -> None:
        assert [ByteReader(bytes([value])).flag() for value in (0, 1)] == [False, True]
        for value in (2, 3, 255):
            with pytest.raises(FormatError):
                ByteReader(bytes([value])).flag()

    @pytest.mark.parametrize("value", [0, 63, 64, 127, 128, 8191, 8192, 2**62, 2**63 - 1])
    def test_numbers_of_a_reading_at_the_edges_of_their_groups(self, value: int) -> None:
        batch = [Measurement(time, time, value % 256, {"1-0:1.8.1": value}, value % 2**32) for time in (127, 128, 255)]
        assert decode_batch(encode_batch(batch)) == tuple(batch)

    def test_a_full_batch(self) -> None:
        full = [Measurement(time, time, 0, {"1-0:1.8.1": time, "1-0:2.8.1": 5}) for time in range(MAX_READINGS)]
        assert decode_batch(encode_batch(full)) == tuple(full)
        with pytest.raises(UsageError):
            encode_batch([*full, full[-1]])


class TestParameters:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"sid": bytes(31)},
            {"writer": bytes(19)},
            {"stream_public": bytes(33)},
            {"slot_seconds": 59},
            {"genesis": -1},
        ],
        ids=str,
    )
    def test_each_is_looked_at(self, wrong: dict[str, int]) -> None:
        with pytest.raises(UsageError):
            replace(params(), **wrong)  # type: ignore[arg-type]

    def test_the_first_and_the_last_slot(self) -> None:
        early = replace(params(), genesis=0)
        end = early.slot_start(LAST_SLOT)
        assert (early.slot_of(0), early.slot_of(end + 59)) == (0, LAST_SLOT)
        for outside in (-1, end + 60):
            with pytest.raises(UsageError):
                early.slot_of(outside)
        assert [early.clamped_slot(t) for t in (-1000, -1, 0, 59, 60, end, end + 10**6)] == [
            -1, -1, 0, 0, 1, LAST_SLOT, LAST_SLOT
        ]  # fmt: skip

    def test_the_gate(self) -> None:
        for good in (Gate(1, 1), Gate(MAX_SKEW_LIMIT, 1)):
            assert good.max_chain_silence == 1
        for skew, silence in ((0, 1), (MAX_SKEW_LIMIT + 1, 1), (1, 0), (-1, 1), (1, -1)):
            with pytest.raises(UsageError):
                Gate(skew, silence)
        gate = Gate(120, 300)
        gate.check_clocks(1000, 1000, Evidence(1000, 880))
        Gate(400, 300).check_clocks(1000, 1000, Evidence(1000, 700))
        with pytest.raises(ClockSkew):
            gate.check_clocks(1000, 1000, Evidence(1000, 879))
        with pytest.raises(ClockSkew):
            gate.check_clocks(1000, 1000, Evidence(1000, 1121))
        with pytest.raises(ChainSilent):
            Gate(400, 300).check_clocks(1000, 1000, Evidence(1000, 699))

    def test_master_keys_have_32_bytes_each(self) -> None:
        for opening, tree in ((bytes(31), bytes(32)), (bytes(32), bytes(33))):
            with pytest.raises(UsageError):
                Masters.from_keys(SID, opening, tree)

    def test_a_path_begins_in_its_tree(self) -> None:
        from channels.errors import LeafError

        assert Path(3, [bytes(32)] * 3).depth == 2
        for leaf, keys in ((4, 3), (0, 0), (1, 1)):
            with pytest.raises(LeafError):
                Path(leaf, [bytes(32)] * keys)

    def test_the_largest_tree(self) -> None:
        assert depth_for(1 << MAX_DEPTH) == MAX_DEPTH
        with pytest.raises(CommitTooLarge):
            depth_for((1 << MAX_DEPTH) + 1)
        assert KeyTree(MAX_DEPTH).depth == MAX_DEPTH


class TestKeyring:
    def test_places_outside_every_tree_are_not_held(self) -> None:
        ring = Keyring(SID)
        ring.add_epoch(0, KEY)
        assert ring.holds(0, LEAVES - 1)
        for epoch, slot in ((0, -1), (0, LEAVES), (-1, 0), (LEAVES, 0)):
            assert not ring.holds(epoch, slot)

    def test_ciphers_are_kept_and_bounded(self) -> None:
        ring = Keyring(SID)
        ring.add_epoch(1, KEY)
        lanes = [Lane(SID, 1, slot, bytes(16)) for slot in range(20)]
        first = [ring.cipher(lane) for lane in lanes[:16]]
        assert all(ring.cipher(lane) is known for lane, known in zip(lanes, first, strict=False))
        ring.cipher(lanes[16])
        assert len(ring._ciphers) == 16
        assert ring.cipher(lanes[1]) is first[1]
        assert ring.cipher(lanes[0]) is not first[0], "the oldest gave way"

    def test_both_halves_are_given_back_in_order(self) -> None:
        ring = Keyring(SID)
        for epoch in (5, 2, 9):
            ring.add_epoch(epoch, hashed(epoch))
        assert [epoch for epoch, _ in ring.covers().slots] == [2, 5, 9]


class TestWatchOfForgedPlaces:
    def test_the_farthest_place_gives_way(self) -> None:
        """A member may invent places; those of the far future are dropped first, real ones stay watched."""
        watch = Watch(params())
        for slot in range(4096):
            watch.data(1, slot, slot + 1)
        assert len(watch.uncovered) == 4096
        watch.data(1, 10**6, 9999)
        watch.data(99, 4096, 9998)
        assert len(watch.uncovered) == 4096
        assert (1, 10**6) not in watch.uncovered
        assert (1, 4095) in watch.uncovered


class TestAsking:
    def ask(self, number: int, at: int, kind: AskKind = AskKind.ENVELOPES) -> Ask:
        public = bytes(1216) if kind is AskKind.RESYNC else b""
        first, last = (0, 0) if kind is AskKind.RESYNC else (1, 1)
        return Ask(kind, SID, hashed("grant"), number.to_bytes(32, "big"), at, first, last, public)

    def test_the_minute_is_the_clocks(self) -> None:
        limiter, start = AskLimiter(), 6_000
        for number, now in enumerate([start + 1] * 30 + [start + 59] * 30, 1):
            assert limiter.admit(self.ask(number, now), now) is None
        assert limiter.admit(self.ask(100, start + 59), start + 59) == "too many requests in this minute"
        assert limiter.admit(self.ask(101, start + 60), start + 60) is None
        for number in range(200, 259):
            assert limiter.admit(self.ask(number, start + 61), start + 61) is None
        assert limiter.admit(self.ask(300, start + 61), start + 61) == "too many requests in this minute"

    def test_a_request_is_known_as_long_as_it_is_valid(self) -> None:
        limiter = AskLimiter()
        assert limiter.admit(self.ask(1, 6_000), 6_000) is None
        for later in (6_000, 6_060, 6_000 + VALID_SECONDS):
            assert limiter.admit(self.ask(1, 6_000), later) == "this request was answered before"

    def test_numbers_that_a_stream_can_have(self) -> None:
        good = replace(self.ask(1, 0), first=LAST_SEQ, last=LAST_SEQ)
        assert Ask.decode(good.body() + bytes(65))[0] == good
        with pytest.raises(UsageError):
            replace(good, last=LAST_SEQ + 1).body()


class TestAllocation:
    def tree(self, ends: dict[int, int], depth: int) -> KeyTree:
        tree = KeyTree(0)
        delta = TreeDelta(depth, len(ends))
        for leaf, end in ends.items():
            for level in range(depth + 1):
                node = (level, leaf >> level)
                delta.ends[node] = min(end, delta.ends.get(node, DEAD))
        tree.apply(delta)
        return tree

    def test_grants_of_one_day_lie_together(self) -> None:
        """In blocks of 8 in a tree of 256, also those that come in a later commit, whatever their order."""
        first, depth = allocate(self.tree({}, 8), [960, 96, 970, 100, 990], (), (), 96)
        assert depth == 8
        assert [leaf >> 3 for leaf in first] == [1, 0, 1, 0, 1]
        assert first == [8, 0, 9, 1, 10], "sorted by end inside a block"
        tree = self.tree(dict(zip(first, [960, 96, 970, 100, 990], strict=True)), 8)
        later, _ = allocate(tree, [191, 1055, 500], (), (), 96)
        assert later == [2, 11, 16]

    def test_a_full_tree_takes_the_nearest_day_then_what_is_freed(self) -> None:
        ends = {leaf: 96 * (leaf // 8 + 1) for leaf in range(256) if leaf not in (13, 200)}
        tree = self.tree(ends, 8)
        assert allocate(tree, [96 * 26], (), (), 96) == ([200], 8)
        assert allocate(tree, [96 * 3, 96 * 4], (), (), 96) == ([13, 200], 8)
        assert allocate(tree, [96, 96, 96], (7,), (), 96) == ([13, 200, 7], 8)
        assert allocate(tree, [96, 96], (), (), 96)[1] == 8
        assert allocate(tree, [96, 96, 96], (), (), 96)[1] == 9

    def test_leaves_given_by_name_are_nobody_elses(self) -> None:
        assert allocate(self.tree({}, 2), [5, 5], (), (0, 2), 96) == ([1, 3], 2)
        assert allocate(self.tree({0: 5}, 0), [], (), (4,), 96) == ([], 3)


def test_a_stored_reader_keeps_its_evidence_of_the_last_commit() -> None:
    """After a restart a second commit of the same epoch is still shown beside the first."""
    from channels.alarms import Forked
    from channels.errors import CommitRejected
    from channels.reader_state import restore_reader, snapshot_reader
    from tests.unit.channels.world import sign_commit

    world = World.start(0, readers=1)
    reader = world.welcome(1)
    first = world.prepare(1, joins=[Join(1, OPEN_SLOT)])
    second = world.writer.prepare(Changes(1, 7, added=(Join(1, OPEN_SLOT), Join(1, OPEN_SLOT))))
    world.registry.hashes[2] = first.commit_hash
    one, two = (each.unsigned + sign_commit(each.message) for each in (first, second))
    reader.process_commit(one, world.registry)
    again = restore_reader(world.writer.params, snapshot_reader(reader))
    with pytest.raises(CommitRejected) as seen:
        again.process_commit(two, world.registry)
    assert seen.value.alarm == Forked("commit", 2, (one, two))
    assert again.follower is not None
    assert again.follower.n_live == 3
    with pytest.raises(SnapshotInvalid):
        restore_reader(world.writer.params, snapshot_reader(reader)[:-1])
