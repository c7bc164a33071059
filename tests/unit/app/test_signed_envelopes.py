"""channels.md 3: Ed25519 for each envelope as an option per stream, by one switch of the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from channels.envelope import SIGNATURE_BYTES, signed_message
from channels.transports.topics import Kind, Topic
from keys.errors import SignatureError
from keys.stream_key import verify_stream_signature
from node.app.streams.home import _access
from node.app.streams.provider import ProviderRole
from node.services.gateway.members import OWNER
from tests.support.pasthome import DAYS, World, read_all, world_with_a_past
from tests.support.pastworld import CATEGORY


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_with_a_past(tmp_path, signed=(CATEGORY,)) as found:
        yield found


async def test_every_envelope_is_signed_and_its_readers_ask_for_it(world: World) -> None:
    """Whatever a member forges is refused at once, not only when a checkpoint comes."""
    await world.keep_aside()
    public = world.gateway.writing.spec.stream_key.public_bytes
    for envelope in world.envelopes:
        verify_stream_signature(
            public, signed_message(envelope.data[:-SIGNATURE_BYTES]), envelope.data[-SIGNATURE_BYTES:]
        )
    assert len(world.envelopes) == DAYS
    reader = world.reading.reading[world.sid, OWNER].membership
    assert reader.params.signed_envelopes
    last = world.envelopes[-1].data
    forged = last[:-1] + bytes([last[-1] ^ 1])
    with pytest.raises(SignatureError):
        verify_stream_signature(public, signed_message(forged[:-SIGNATURE_BYTES]), forged[-SIGNATURE_BYTES:])
    await world.gateway.core.transport.publish(Topic(Kind.DATA, world.sid), forged)
    await read_all(world, DAYS)


async def test_a_stream_keeps_what_it_was_offered_with(world: World) -> None:
    """Its readers would take nothing of it any more."""
    core = world.gateway.core
    chosen = core.settings.streams.model_copy(update={"signed_envelopes": ()})
    world.gateway.role._core = replace(core, settings=core.settings.model_copy(update={"streams": chosen}))
    await world.gateway.role.load()
    [spec] = world.gateway.role.specs
    assert spec.params.signed_envelopes


async def test_a_reader_is_told_by_the_owner(world: World) -> None:
    """A relay cannot have a reader go without: what is granted says it, signed by the household."""
    offer = (await world.role.streams())[world.sid]
    access = _access(world.sid, offer, "mqtt://127.0.0.1")
    assert access.signed_envelopes
    other = ProviderRole(world.home._core)
    await other._open_own()
    try:
        assert other.reading[world.sid, OWNER].membership.params.signed_envelopes
    finally:
        other.reading[world.sid, OWNER].task.cancel()
