"""Who wrote a stream when, as the chain tells it, and the keys that belong to it: a reader's parameters of a stream."""

from __future__ import annotations

from dataclasses import dataclass

from channels.slots import FormerWriter, StreamParams
from keys.stream_key import ED25519_PUBLIC_SIZE, stream_key_hash
from node.app.core import Core
from node.projection.base import ADDRESS_ZERO, AggregateId
from node.projection.events import LoggedCommitted, LoggedRolledBack, LoggedStreamRegistered, LoggedWriterSet
from node.projection.stream import Stream

__all__ = ["STREAM_KEYS", "Term", "known_key", "public_hash", "reader_params", "terms_of"]

STREAM_KEYS = "stream_key"
"""Namespace of facts: a stream's public signing key in hex by the hash that the chain shows."""

PAGE = 500


@dataclass(frozen=True, slots=True)
class Term:
    """One writer's time: from the block of its appointment on; `last_epoch` is None for the present one."""

    block: int
    writer: bytes
    key_hash: bytes
    last_epoch: int | None = None


def public_hash(public: bytes) -> bytes:
    """The hash that the chain shows for a public stream key, of one half or two."""
    return stream_key_hash(public[:ED25519_PUBLIC_SIZE], public[ED25519_PUBLIC_SIZE:])


async def terms_of(core: Core, sid: bytes) -> list[Term]:
    """All writers in order. A time without a writer is no term."""
    commits: dict[int, int] = {}
    set_by: list[Term] = []
    after = 0
    while page := await core.storage.views.history(AggregateId("stream", sid), after=after, limit=PAGE):
        for entry in page:
            event = entry.event
            if isinstance(event, LoggedCommitted):
                commits[event.epoch] = event.block.number
            elif isinstance(event, LoggedStreamRegistered | LoggedWriterSet):
                newest = max(commits, default=0)
                if set_by and set_by[-1].last_epoch is None:
                    set_by[-1] = Term(set_by[-1].block, set_by[-1].writer, set_by[-1].key_hash, newest)
                if event.writer != ADDRESS_ZERO:
                    set_by.append(Term(event.block.number, event.writer, event.stream_key_hash))
            elif isinstance(event, LoggedRolledBack):
                height = event.ancestor_height
                commits = {epoch: block for epoch, block in commits.items() if block <= height}
                set_by = _rolled_back(set_by, height)
        after = page[-1].seq
    return set_by


def _rolled_back(terms: list[Term], height: int) -> list[Term]:
    kept = [term for term in terms if term.block <= height]
    if kept and len(kept) < len(terms):
        kept[-1] = Term(kept[-1].block, kept[-1].writer, kept[-1].key_hash)
    return kept


async def known_key(core: Core, key_hash: bytes, offered: bytes) -> bytes | None:
    """The public key of a hash: `offered` if it fits, else one that was told since; None while nobody told it."""
    if public_hash(offered) == key_hash:
        return offered
    found = await core.storage.memory.facts.get(STREAM_KEYS, key_hash.hex())
    return None if found is None else bytes.fromhex(found)


async def reader_params(
    core: Core, sid: bytes, offered: bytes, signed: bool, *, begun: bool = False
) -> StreamParams | None:
    """The parameters of a stream for a reader that was told the key `offered` once, and whether envelopes are `signed`.

    None while the stream is not registered, has no writer, or has one whose key nobody has told yet. A reader that has
    `begun` under a former writer goes on in those cases, without a key for what comes after that one: from the moment
    the chain names another writer, the former key counts for the former epochs only. It may be a thief's.
    """
    stream = await core.storage.views.one(Stream, sid)
    if not stream.registration:
        return None
    named = stream.writer != ADDRESS_ZERO and stream.stream_key_hash is not None
    present = await known_key(core, stream.stream_key_hash or bytes(32), offered) if named else None
    if present is None and not begun:
        return None
    former: list[FormerWriter] = []
    for term in await terms_of(core, sid):
        if term.last_epoch is not None and (key := await known_key(core, term.key_hash, offered)) is not None:
            former.append(FormerWriter(term.writer, key, term.last_epoch))
    facts = stream.registration[-1]
    return StreamParams(
        sid=sid,
        genesis=facts.genesis,
        slot_seconds=facts.slot_seconds,
        domain=core.chain.domain,
        writer=stream.writer,
        stream_public=present or b"",
        signed_envelopes=signed,
        former=tuple(former),
    )
