"""What a stream's writer asks of the node, answered from the projection: chain facts, consents, keys, commits."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from channels.errors import EmptyInterval
from channels.slots import StreamParams
from keys.messages import StreamCommit, digest
from keys.signers import Signer
from node.app.chainfeed import ChainFeed
from node.app.core import Core
from node.app.submissions import submission_of
from node.projection.base import ADDRESS_ZERO
from node.projection.consent import Consent, ConsentStatus
from node.projection.stream import Stream
from node.projection.submission import Submission, SubmissionStatus
from node.services.gateway.members import ActingGrant
from node.services.gateway.ports import StreamFacts

__all__ = [
    "OWNED",
    "OWNER_KEYS",
    "READER_KEYS",
    "ChainAnswers",
    "CommitRoad",
    "ConsentAnswers",
    "heir_name",
    "slot_after",
]

OWNED = "stream_owned"
"""Namespace of facts by stream: number and time (seconds UTC) of the block of its newest final transfer."""

READER_KEYS = "reader_key"
"""Namespace of facts: a reader's public sealing key by the hash that its grant names."""

OWNER_KEYS = "owner_key"
"""Namespace of facts: the hash of the household's own public sealing key by stream id; that of a household which the
stream was given to, by `heir_name`."""

MANY = 100_000


def slot_after(params: StreamParams, moment: int) -> int:
    """The first slot that lies wholly behind a moment (seconds UTC)."""
    return max(0, -(-(moment - params.genesis) // params.slot_seconds))


def heir_name(sid: bytes, owner: bytes) -> str:
    """Names what is known of an account that the gateway is not paired with, as the owner of a stream."""
    return f"{sid.hex()}/{owner.hex()}"


class ChainAnswers:
    """The chain as the journal has it."""

    def __init__(self, core: Core, feed: ChainFeed) -> None:
        self._core = core
        self._feed = feed

    async def stream(self, sid: bytes) -> StreamFacts | None:
        """See ChainPort.stream."""
        found = await self._core.storage.views.one(Stream, sid)
        if not found.registration:
            return None
        head = found.head
        return StreamFacts(found.epoch, head.commit_hash if head else bytes(32), found.writer)

    def block(self) -> tuple[int, int]:
        """See ChainPort.block."""
        return self._feed.block


class ConsentAnswers:
    """The consents of one stream, and whose it is: `owner` is the household that the gateway is paired with. Read from
    the database each time: no permission is remembered anywhere else."""

    def __init__(self, core: Core, params: StreamParams, owner: bytes) -> None:
        self._core = core
        self._params = params
        self._owner = owner

    async def _grants(self, sid: bytes, status: ConsentStatus) -> list[ActingGrant]:
        rows = await self._core.storage.views.page(Consent, status=status.value, link=("sid", sid), limit=MANY)
        grants = [self._grant(consent) for _, consent in rows if sid in consent.open_sids]
        return [grant for grant in grants if grant is not None]

    def _grant(self, consent: Consent) -> ActingGrant | None:
        if consent.terms is None or consent.reader_key_hash is None:
            return None
        try:
            slots = self._params.granted_slots(consent.terms.start, consent.terms.end)
        except EmptyInterval:
            return None
        return ActingGrant(consent.grant_id, consent.reader_key_hash, *slots)

    async def acting(self, sid: bytes) -> Sequence[ActingGrant]:
        """See ConsentPort.acting."""
        return await self._grants(sid, ConsentStatus.LIVE)

    async def ended(self, sid: bytes) -> Sequence[ActingGrant]:
        """See ConsentPort.ended."""
        return await self._grants(sid, ConsentStatus.ENDED)

    async def reader_keys(self, sid: bytes) -> dict[bytes, bytes]:
        """See ConsentPort.reader_keys."""
        found = await self._core.storage.memory.facts.all(READER_KEYS)
        return {bytes.fromhex(name): base64.b64decode(value) for name, value in found.items()}

    async def owner_key_hash(self, sid: bytes) -> bytes | None:
        """See ConsentPort.owner_key_hash."""
        owner = (await self._core.storage.views.one(Stream, sid)).owner
        name = sid.hex() if owner in (self._owner, ADDRESS_ZERO) else heir_name(sid, owner)
        text = await self._core.storage.memory.facts.get(OWNER_KEYS, name)
        return None if text is None else bytes.fromhex(text)

    async def owned_since(self, sid: bytes) -> int | None:
        """See ConsentPort.owned_since. At first sight of a transfer nobody; the new owner once the time before is
        closed."""
        stream = await self._core.storage.views.one(Stream, sid)
        if len(stream.owners) < 2:
            return 0
        number, at = await self._core.storage.memory.facts.get(OWNED, sid.hex()) or (None, 0)
        return slot_after(self._params, at) if number == stream.owners[-1].block.number else None


class CommitRoad:
    """Signs commits with the stream's writer key and brings them onto the chain."""

    def __init__(self, core: Core, signer: Signer) -> None:
        self._core = core
        self._signer = signer

    async def sign(self, message: StreamCommit) -> bytes:
        """See CommitPort.sign."""
        return await self._signer.sign_message(message, self._core.chain.domain)

    async def submit(self, message: StreamCommit, signature: bytes) -> None:
        """See CommitPort.submit. Not kept on the private log: the commit itself is in the channel log."""
        known = await self._core.storage.views.one(Submission, digest(message, self._core.chain.domain))
        if known.status not in (SubmissionStatus.NONE, SubmissionStatus.REJECTED):
            return
        await self._core.storage.journal.apply([submission_of(self._core, message, [signature])])
        self._core.wake()
