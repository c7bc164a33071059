"""Re-keying, joining, catching up: bytes are exact, times are the best of several runs."""

from __future__ import annotations

import random
from functools import partial
from statistics import mean

from channels.commit import Header
from channels.ggm import minimal_nodes
from channels.issuer import Member
from channels.reader import Reader
from channels.reader_state import restore_reader, snapshot_reader
from channels.slots import OPEN_SLOT
from channels.writer import Changes, Join, PreparedCommit, Writer
from keys.sealing import SealingKey, seal
from scripts.benchmarks.rows import Row, at_most, best_cpu, resident_mb
from tests.unit.channels.world import STREAM_KEY, Registry, hashed, masters, params, sign_commit

__all__ = ["expiry_rows", "grown", "history_rows", "rekey_rows", "scale_rows"]

SIZES = (("10", 10, 430), ("1k", 1_000, 700), ("100k", 100_000, 1_010))
SIGNATURE = 65
MISSED = 10_000
DAY_SLOTS = 96
YEAR_SLOTS = 365 * DAY_SLOTS


def grown(ends: list[int]) -> Writer:
    """A writer with one live leaf for each end slot."""
    writer = Writer(params(), masters(), STREAM_KEY, bytes(16))
    for start in range(0, len(ends), 60_000):
        joins = tuple(Join(0, end) for end in ends[start : start + 60_000])
        writer.adopt_delta(writer.prepare(Changes(0, 0, added=joins)))
    return writer


def rekey_rows() -> list[Row]:
    """One revocation at three sizes, beside wrapping a new key to everybody who stays."""
    rows: list[Row] = []
    public = SealingKey.generate().public_bytes
    for label, size, bound in SIZES:
        writer = grown([OPEN_SLOT] * size)
        leaves = random.Random(1).sample(writer.state.tree.live_leaves(), min(size, 100))
        worst = max(len(writer.prepare(Changes(0, 0, removed=(leaf,))).unsigned) + SIGNATURE for leaf in leaves)
        # Every reader that stays gets a capsule of its own; they are really made, not multiplied out.
        flat = sum(len(seal(public, bytes(32), b"%d" % reader)) for reader in range(size - 1))
        rows.append(at_most(f"rekey_bytes_{label}", worst, "bytes", bound, f"flat X-Wing wraps: {flat} bytes"))
        rows.append(at_most(f"flat_rekey_bytes_{label}", flat, "bytes", None, f"{size - 1} wraps, made in this run"))
    return rows


def scale_rows() -> list[Row]:
    """What 100,000 readers cost: memory, the writer's time, batches, a join, and one reader's way through the log."""
    before = resident_mb()
    writer = grown([OPEN_SLOT] * 100_000)
    process = resident_mb()
    stored = writer.state.tree.stored_bytes()
    rows = [
        at_most("writer_state_mb_100k", stored / 1e6, "MB", 8.0, "keys, counts and end slots"),
        at_most("writer_process_mb_100k", process, "MB", None, f"the whole process; {before:.0f} MB before"),
    ]
    leaves = writer.state.tree.live_leaves()
    lone = best_cpu(partial(writer.prepare, Changes(0, 0, removed=(leaves[777],))), 200)
    rows.append(at_most("rekey_writer_ms_100k", lone * 1000, "ms", 0.5, "CPU: tree, wraps, confirmation; no signature"))
    draws = [random.Random(seed).sample(leaves, 100) for seed in range(20)]
    batch = [len(writer.prepare(Changes(0, 0, removed=tuple(draw))).unsigned) + SIGNATURE for draw in draws]
    rows.append(
        at_most("rekey_batch100_bytes", mean(batch), "bytes", 46_500, f"20 draws, {min(batch)} to {max(batch)}")
    )
    rows += _join_rows(writer)
    rows += _catch_up_rows(writer)
    return rows


def _join_rows(writer: Writer) -> list[Row]:
    prepared = writer.prepare(Changes(10, 0, added=(Join(10, OPEN_SLOT),)))
    published = len(prepared.unsigned) + SIGNATURE
    writer.adopt_delta(prepared)
    writer.activate(writer.epoch)  # nothing was sealed under the epochs before, so there is no past to give
    key = SealingKey.from_bytes(hashed("joiner"))
    member = Member(hashed("grant"), key.key_hash(), prepared.leaves[0], 10, OPEN_SLOT, writer.epoch)
    welcome = len(writer.welcome(member, key.public_bytes))
    return [
        at_most("join_published_bytes", published, "bytes", 242),
        at_most("join_welcome_bytes_100k", welcome, "bytes", 1_850, "signature included, no history"),
    ]


def _catch_up_rows(writer: Writer) -> list[Row]:
    """Ten thousand revocations that one reader missed."""
    registry = Registry()
    key = SealingKey.from_bytes(hashed("away"))
    leaves = writer.state.tree.live_leaves()
    random.Random(2).shuffle(leaves)
    own, gone = leaves[0], leaves[1 : MISSED + 1]
    member = Member(hashed("away"), key.key_hash(), own, 10, OPEN_SLOT, writer.epoch)
    reader = Reader(writer.params, member.grant_id)
    registry.hashes[writer.epoch] = writer.head
    since = writer.epoch
    reader.receive_capsule(writer.welcome(member, key.public_bytes), key, registry)
    state = snapshot_reader(reader)
    log: list[bytes] = []
    for leaf in gone:
        prepared = writer.prepare(Changes(10, 0, removed=(leaf,)))
        writer.adopt_delta(prepared)
        log.append(_signed(prepared))
        registry.hashes[prepared.epoch] = prepared.commit_hash

    def catch_up(count: int) -> float:
        fresh = [restore_reader(writer.params, state) for _ in range(5)]
        return best_cpu(lambda: fresh.pop().catch_up(log[:count], registry), len(fresh))

    whole = catch_up(MISSED)
    first, second = catch_up(1_000), catch_up(2_000)
    size = sum(map(len, log))
    resync = len(writer.resync(member, key.public_bytes, hashed("request"), since))
    per_commit = (second - first) / 1_000
    return [
        at_most("rekey_reader_us_100k", per_commit * 1e6, "us", 50, "CPU; 2,000 commits less 1,000: no signature"),
        at_most("catchup_10k_s", whole, "s", 0.5, f"CPU of one core; {size} bytes of commits, one signature checked"),
        at_most("resync_bytes", resync, "bytes", 2_850, f"instead of {MISSED} commits"),
    ]


def _signed(prepared: PreparedCommit) -> bytes:
    """Every commit as it is on the wire; a reader checks the last signature of a run only, so all are real."""
    return prepared.unsigned + sign_commit(prepared.message)


def expiry_rows() -> list[Row]:
    """A year of grants for one year, 274 a day, of which the first day's leave; beside it grants of every length."""
    daily = [(day, 365 + day) for day in range(365) for _ in range(274)]
    chance = random.Random(3)
    mixed = [(given, given + 1 + chance.randrange(365)) for given in range(365) for _ in range(274)]
    wraps, gone = _expiry(daily)
    other, others = _expiry(mixed)
    return [
        at_most("expiry_day274_wraps", wraps, "wraps", 18, f"{gone} grants of one year, given on one day"),
        at_most("expiry_mixed_wraps", other, "wraps", None, f"{others} grants of 1 to 365 days that end on one day"),
    ]


def _expiry(grants: list[tuple[int, int]]) -> tuple[int, int]:
    """The wraps of the commit that removes those whose grant ends first after day 364; (wraps, how many leave)."""
    writer = Writer(params(), masters(), STREAM_KEY, bytes(16))
    per_day = 86_400 // params().slot_seconds
    live: dict[int, list[int]] = {}
    for today in range(366):
        first = today * per_day
        leaving = tuple(sorted(live.pop(today, [])))
        joining = [end for given, end in grants if given == today]
        joins = tuple(Join(first, end * per_day) for end in joining)
        prepared = writer.prepare(Changes(first, 0, removed=leaving, added=joins))
        if today == 365:
            return Header.decode(prepared.unsigned + bytes(SIGNATURE)).n_wraps, len(leaving)
        writer.adopt_delta(prepared)
        for end, leaf in zip(joining, prepared.leaves, strict=True):
            live.setdefault(end, []).append(leaf)
    raise AssertionError("a year has 366 mornings here")


def history_rows() -> list[Row]:
    """A year of 15-minute slots as cover nodes: from the start of a day, for a thousand different days."""
    counts = [
        sum(1 for _ in minimal_nodes(first, first + YEAR_SLOTS)) for first in (day * DAY_SLOTS for day in range(1_000))
    ]
    return [
        at_most("history_year_nodes", max(counts), "nodes", 20, f"most of 1,000 first days; mean {mean(counts):.1f}")
    ]
