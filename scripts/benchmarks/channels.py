"""Channels: bytes and time of a re-key, a join, sealing."""

from __future__ import annotations

import random
from functools import partial

from channels.capsule import CapsuleKind
from channels.issuer import Member
from channels.slots import OPEN_SLOT
from channels.writer import Changes, Join, Writer
from keys.sealing import SealingKey, seal
from scripts.benchmarks.rows import Row, at_least, at_most, best
from tests.unit.channels.world import SLOT, STREAM_KEY, World, evidence, hashed, masters, params

__all__ = ["measure"]


def measure() -> list[Row]:
    """All rows of the channels."""
    return [*rekey_rows(), *seal_rows()]


def grown(size: int) -> Writer:
    """A writer with `size` live leaves."""
    writer = Writer(params(), masters(), STREAM_KEY, bytes(16))
    wanted = [Join(0, OPEN_SLOT)] * size
    while wanted:
        part, wanted = wanted[:60_000], wanted[60_000:]
        writer.adopt_delta(writer.prepare(Changes(0, 0, added=tuple(part))))
    return writer


def rekey_rows() -> list[Row]:
    rows: list[Row] = []
    public = SealingKey.generate().public_bytes
    wrapped = len(seal(public, bytes(32), b""))
    for label, size, bound in (("10", 10, 430), ("1k", 1_000, 700), ("100k", 100_000, 1_010)):
        writer = grown(size)
        leaves = random.Random(1).sample(list(writer.state.tree.live_leaves()), min(size, 100))
        worst = max(len(writer.prepare(Changes(0, 0, removed=(leaf,))).unsigned) + 65 for leaf in leaves)
        flat = wrapped * (size - 1)
        rows.append(at_most(f"rekey_bytes_{label}", worst, "bytes", bound, f"flat X-Wing wraps: {flat} bytes"))
        rows.append(at_most(f"flat_rekey_bytes_{label}", flat, "bytes", None))
        if label == "100k":
            leaf = leaves[0]
            spent = best(partial(writer.prepare, Changes(0, 0, removed=(leaves[0],))), 50)
            rows.append(at_most("rekey_writer_ms_100k", spent * 1000, "ms", 0.5))
            member = Member(hashed("g"), SealingKey(hashed("k")).key_hash(), leaf, 10, OPEN_SLOT, writer.epoch)
            welcome = writer.welcome(member, SealingKey(hashed("k")).public_bytes)
            rows.append(at_most("join_welcome_bytes_100k", len(welcome), "bytes", 1_850, CapsuleKind.WELCOME.name))
    return rows


def seal_rows() -> list[Row]:
    world = World.start()
    writer = world.writer
    now = params().genesis + SLOT // 2
    readings = [(now, bytes(24))] * 20_000
    moment = evidence(now)
    sealing = best(lambda: writer.seal(readings, moment))
    return [at_least("seal_per_s", len(readings) / sealing, "envelopes/s", 400_000)]
