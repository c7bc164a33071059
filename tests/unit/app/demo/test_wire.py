"""The demo's own readers of the wire, held against the product's writers: they share no code."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.commit import Commit
from channels.envelope import EnvelopeHeader
from channels.errors import EmptyInterval
from channels.readings import Measurement, encode_batch
from channels.slots import OPEN_END
from node.app.demo.evidence import Evidence, Heard
from node.app.demo.plaintext import measured
from node.app.demo.registrylog import GrantOnChain
from node.app.demo.wirelog import commits_of, envelopes_of, parse_commit, parse_envelope
from node.app.demo.wiretap import PacketReader, Wiretap
from tests.unit.app.demo.world import GENESIS, SLOT, World


@pytest.fixture(scope="module")
def story() -> Evidence:
    return asyncio.run(World().play()).evidence()


def test_commits_read_as_the_product_reads_them(story: Evidence) -> None:
    raw = [item for item in story.heard if item.kind == "commits"]
    assert raw
    for item in raw:
        ours, theirs = parse_commit(item), Commit.decode(item.payload)
        assert (ours.epoch, ours.depth, ours.n_live) == (
            theirs.header.epoch,
            theirs.header.depth,
            theirs.header.n_live,
        )
        assert (ours.hash, ours.confirm, ours.epoch_wrap) == (theirs.commit_hash, theirs.confirm, theirs.epoch_wrap)
        assert (ours.removed, ours.added, ours.wraps) == (theirs.body.removed, theirs.body.added, theirs.body.wraps)
        assert ours.confirmed == theirs.confirmed_hash


def test_envelopes_read_as_the_product_reads_them(story: Evidence) -> None:
    for item in [item for item in story.heard if item.kind == "data"]:
        ours, theirs = parse_envelope(item), EnvelopeHeader.decode(item.payload)
        assert (ours.sid, ours.epoch, ours.slot, ours.inst, ours.seq, ours.previous) == tuple(theirs)
        assert ours.header + ours.sealed == item.payload


def test_a_repetition_counts_once(story: Evidence) -> None:
    sid = next(iter(story.setting.names))
    twice = [*story.heard, *(replace(item, at=item.at + 9) for item in story.heard)]
    assert envelopes_of(twice, sid) == envelopes_of(story.heard, sid)
    assert commits_of(twice, sid) == commits_of(story.heard, sid)


@pytest.mark.parametrize("size", [0, 40, 117])
def test_what_is_too_short_is_no_message(size: int) -> None:
    item = Heard(0.0, "", "data", b"", b"", bytes(size))
    with pytest.raises(ValueError, match="too short"):
        parse_envelope(item)
    with pytest.raises(ValueError, match="too short"):
        parse_commit(item)


codes = st.dictionaries(st.sampled_from(["1-0:1.8.1", "1-0:2.7.0", "0-n:24.2.1", "1-0:1.29.0"]), st.integers(-9, 10**9))
moments = st.integers(0, 2**33)


@given(st.lists(st.tuples(moments, moments, st.integers(0, 255), st.integers(0, 4000), codes), min_size=1, max_size=60))
def test_plaintexts_read_as_the_product_wrote_them(rows: list[tuple[int, int, int, int, dict[str, int]]]) -> None:
    batch = [Measurement(at, got, quality, values, seconds) for at, got, quality, seconds, values in rows]
    found = measured(encode_batch(batch))
    assert [(m.time, m.receipt, m.quality, m.seconds, dict(m.values)) for m in found] == rows


@given(st.integers(GENESIS - 900, GENESIS + 9000), st.integers(1, 9000))
def test_granted_slots_as_in_channels_md_1(start: int, length: int) -> None:
    grant = GrantOnChain(bytes(32), b"", b"", b"", (), start, start + length)
    low, high = grant.slots(GENESIS, SLOT)
    world = World()
    try:
        assert world.params.granted_slots(start, start + length) == (low, high)
    except EmptyInterval:
        assert low >= high


def test_an_open_grant_has_no_last_slot() -> None:
    grant = GrantOnChain(bytes(32), b"", b"", b"", (), GENESIS, OPEN_END)
    assert grant.slots(GENESIS, SLOT) == (0, 2**32)


# MQTT


def packet(kind: int, flags: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:
        size, group = divmod(size, 128)
        length += bytes([group | (0x80 if size else 0)])
        if not size:
            return bytes([kind << 4 | flags]) + length + body


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


CONNECT = packet(1, 0, text("MQTT") + b"\x04\x02\x00\x3c" + text("gateway:1"))
TOPIC = f"wattpact/v1/{'ab' * 32}/capsule/{'cd' * 32}"


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_packets_are_read_however_they_are_cut(step: int) -> None:
    heard: list[Heard] = []
    reader = PacketReader(heard.append, lambda: 5.0)
    stream = CONNECT + packet(12, 0, b"") + packet(3, 0b0011, text(TOPIC) + b"\x00\x07" + b"x" * 300)
    stream += packet(3, 0, text("elsewhere") + b"hello")
    for at in range(0, len(stream), step):
        reader.feed(stream[at : at + step])
    first, second = heard
    assert (first.at, first.client, first.kind, first.retain) == (5.0, "gateway:1", "capsule", True)
    assert (first.sid, first.key, first.payload) == (b"\xab" * 32, b"\xcd" * 32, b"x" * 300)
    assert (second.kind, second.payload) == ("other", b"hello")


async def test_the_wiretap_hears_and_relays_and_survives_a_broker_that_is_away() -> None:
    """A TCP echo stands in for the broker: what a client sends comes back, and was heard."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    broker = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = broker.sockets[0].getsockname()[1]
    tap = Wiretap(("127.0.0.1", port))
    await tap.start()
    message = CONNECT + packet(3, 0, text(TOPIC) + b"payload")
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
        writer.write(message)
        assert await reader.readexactly(len(message)) == message
        writer.close()
        broker.close()
        await broker.wait_closed()
        reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
        assert await reader.read() == b""
        writer.close()
    finally:
        await tap.stop()
    assert [item.payload for item in tap.heard] == [b"payload"]
