"""A gateway takes a stream over from another one (channels.md 4, rule 10), or hands one over.

The new writer has masters of its own. It begins where the old one stopped: its first commit removes and adds every
leaf, its first envelope follows the last one of the old writer, so readers see one unbroken chain.
"""

from __future__ import annotations

import base64
from typing import Any

import structlog

from channels.writer import Writer
from keys.messages import SetWriter
from keys.parcel import Parcel
from keys.sealing import reader_key_hash
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.parcels import Post
from node.app.streams.adopting import HANDOVER, TAKEN, taken_name
from node.app.streams.gateway import GatewayRole, Writing
from node.app.streams.heirs import Heirs
from node.app.streams.nonces import next_nonce
from node.app.streams.streamports import OWNER_KEYS, READER_KEYS
from node.app.streams.streamspec import StreamSpec, stream_spec
from node.errors import InvalidInput, NodeUnreachable
from node.runtime.errors import PermanentFailure
from node.wire.streams import Handover, StreamTake, WriterSigned

__all__ = ["Takeover", "last_words", "ranges"]

_log = structlog.get_logger(__name__)

SIGNED = "writer_signed"
"""Namespace of facts: the SetWriter that this gateway has signed, by stream id."""

VALID_S = 24 * 3600


def last_words(writer: Writer) -> Handover:
    """Where a writer stopped, as its successor needs it. A commit that the chain never took is not part of it."""
    state, place = writer.state, writer.position
    return Handover(
        sid=writer.params.sid,
        epoch=state.epoch,
        head=state.head,
        depth=state.tree.depth,
        live=ranges(state.tree.live_leaves()),
        last_epoch=place.epoch,
        last_slot=place.slot,
        last_seq=place.seq,
        last_hash=place.last_hash,
    )


def ranges(leaves: list[int]) -> tuple[tuple[int, int], ...]:
    """Ascending leaves as (start, count)."""
    found: list[tuple[int, int]] = []
    for leaf in leaves:
        if found and leaf == found[-1][0] + found[-1][1]:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((leaf, 1))
    return tuple(found)


class Takeover:
    """What a gateway answers when its owner moves streams."""

    def __init__(self, core: Core, post: Post, gateway: GatewayRole, heirs: Heirs) -> None:
        self._core = core
        self._heirs = heirs
        self._post = post
        self._gateway = gateway

    def register(self, inbox: Inbox) -> None:
        """What it takes in."""
        inbox.on("stream.take", self._take)
        inbox.on("stream.handover", self._take_handover)
        self._gateway.on_replaced = self._say_last_words

    async def _take(self, parcel: Parcel) -> Kept:
        """The owner asks for a signature. The same one goes out again for the same question, until it runs out."""
        device = await self._gateway.from_owner(parcel)
        body = StreamTake.model_validate(parcel.body)
        spec = stream_spec(self._core, body.category, device, body.genesis, body)
        if spec.sid != body.sid:
            raise InvalidInput("Name and salt belong to another stream.", field="sid")
        signed = await self._signed(spec)
        key_hash = reader_key_hash(body.owner_key)
        key = base64.b64encode(body.owner_key).decode()
        facts = (
            (TAKEN, taken_name(device, body.category), body.to_json()),
            (SIGNED, spec.sid.hex(), signed),
            (READER_KEYS, key_hash.hex(), key),
            (OWNER_KEYS, spec.sid.hex(), key_hash.hex()),
        )
        await self._core.storage.memory.keep((), facts)
        self._gateway.forget_specs()
        peer = await self._gateway.owner_peer()
        if peer is None:
            raise NodeUnreachable("The home's address is not known yet.", remedy="It is tried again.")
        try:
            await self._post.send(peer, "stream.writer", signed)
        except PermanentFailure as refused:
            _log.warning("takeover_refused", category=body.category, reason=str(refused))
        return Kept()

    async def _signed(self, spec: StreamSpec) -> dict[str, Any]:
        memory, now = self._core.storage.memory, self._core.clock.now()
        kept: dict[str, Any] | None = await memory.facts.get(SIGNED, spec.sid.hex())
        # One of an earlier pairing names another writer.
        fits = kept is not None and WriterSigned.model_validate(kept).writer == spec.writer.address
        if kept is not None and fits and int(kept["deadline"]) > now + VALID_S // 2:
            return kept
        message = SetWriter(
            spec.owner,
            spec.sid,
            spec.writer.address,
            spec.stream_key.key_hash(),
            await next_nonce(memory),
            now + VALID_S,
        )
        signature = await spec.writer.sign_message(message, self._core.chain.domain)
        body = WriterSigned(
            sid=spec.sid,
            writer=spec.writer.address,
            stream_key=spec.stream_key.public_bytes,
            nonce=str(message.nonce),
            deadline=message.deadline,
            writer_signature=signature,
        )
        return body.to_json()

    async def _take_handover(self, parcel: Parcel) -> Kept:
        """Where to go on. What the chain says about epoch and commit is compared before the first commit."""
        await self._gateway.from_owner(parcel)
        body = Handover.model_validate(parcel.body)
        return Kept((), ((HANDOVER, body.sid.hex(), body.to_json()),))

    async def _say_last_words(self, writing: Writing) -> None:
        """The owner has set another writer: what it needs goes to the owner. Without it the owner's own log must do."""
        writer, peer = writing.engine.writer, await self._heirs.peer_of(writing.spec.sid)
        if peer is None or writer.epoch != writer.active_epoch:
            return  # a commit that the chain never took is in this state and must not be in the successor's
        try:
            await self._post.send(peer, "stream.last", last_words(writer).to_json())
        except (NodeUnreachable, PermanentFailure) as failed:
            _log.warning("last_words_unheard", category=writing.spec.category, reason=str(failed))
