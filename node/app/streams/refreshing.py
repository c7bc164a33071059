"""A reader's new key (channels.md 4, rule 8): made by the provider, on chain as a hash, and in full to the writer.

The key goes first, sealed, from the provider to the home, and the hash follows on chain; once that is final the home
hands the key to its gateway, which removes and adds the reader's leaf in its next commit. Nobody on the way has to be
trusted: the writer believes a key by the hash that the reader signed, and takes one refresh a day.
"""

from __future__ import annotations

import base64

import structlog

from keys.messages import RegisterKey, digest
from keys.parcel import Parcel
from keys.sealing import SealingKey, reader_key_hash
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.parcels import Post
from node.app.streams.home import HomeRole
from node.app.streams.nonces import next_nonce
from node.app.streams.provider import ProviderRole
from node.app.streams.readerkeys import consent_key_name, refresh_key_name
from node.app.submissions import submission_of
from node.errors import Conflict, NodeUnreachable, NotFound, Refused
from node.projection.asking import Asking
from node.projection.consent import Consent, ConsentStatus
from node.projection.effects import NotifyKeyFinal
from node.projection.request import Request
from node.runtime.errors import PermanentFailure
from node.runtime.executor import Handlers
from node.wire.consents import RefreshedKey

__all__ = ["KeyCourier", "KeyRefresher"]

_log = structlog.get_logger(__name__)

REFRESHED = "refreshed_key"
"""Namespace of facts: the newest key that a reader sent, by grant id."""

VALID_S = 24 * 3600


class KeyRefresher:
    """The provider's side."""

    def __init__(self, core: Core, post: Post, provider: ProviderRole) -> None:
        self._core = core
        self._post = post
        self._provider = provider

    async def refresh(self, grant_id: bytes) -> bytes:
        """Makes a key, sends it to the home, and puts its hash on chain. Returns the digest of the RegisterKey.

        Raises NotFound, Conflict where nothing can be refreshed, NodeUnreachable or Refused from the home; then nothing
        has changed.
        """
        core = self._core
        asking, sid = await self._readable(grant_id)
        if asking.peer is None:
            raise Conflict("The home's address is not known.", remedy="Ask for a new consent.")
        secret = SealingKey.generate()
        body = RefreshedKey(grant_id=grant_id, reader_key=secret.public_bytes).to_json()
        try:
            await self._post.send(asking.peer, "consent.key", body)
        except PermanentFailure as failed:
            raise Refused(f"{failed}.", remedy="Ask the household.") from failed
        # The key is on disk before its hash can be on chain.
        core.keys.keystore.put(refresh_key_name(asking.request_id, secret.key_hash()), "sealing", secret.to_bytes())
        signer = self._provider.signer_for(asking.request_id)
        now = core.clock.now()
        nonce = await next_nonce(core.storage.memory)
        message = RegisterKey(signer.address, grant_id, secret.key_hash(), nonce, now + VALID_S)
        signature = await signer.sign_message(message, core.chain.domain)
        await core.storage.memory.keep([submission_of(core, message, [signature], [sid])])
        core.wake()
        return digest(message, core.chain.domain)

    async def _readable(self, grant_id: bytes) -> tuple[Asking, bytes]:
        """The request behind a live consent of ours, and a stream that it still opens."""
        rows = await self._core.storage.views.page(Asking, link=("grant", grant_id), limit=1)
        if not rows:
            raise NotFound("This node does not read under this consent.", remedy="`wattpact consent list` shows all.")
        asking = rows[0][1]
        consent = await self._core.storage.views.one(Consent, grant_id)
        if consent.status is not ConsentStatus.LIVE or not consent.live_sids:
            raise Conflict("The consent is not live, so it has no key to refresh.")
        names = self._core.keys.keystore.names()
        if consent_key_name(asking.request_id) in names:
            raise Conflict("The first key of this consent is still in use.", remedy="Wait until its streams are read.")
        if any(name.startswith(refresh_key_name(asking.request_id, b"")) for name in names):
            raise Conflict("A refresh of this consent is under way.", remedy="The writer takes one a day.")
        return asking, consent.live_sids[0]


class KeyCourier:
    """The home's side: keeps what a reader sent, and hands it to the gateway once the chain shows its hash."""

    def __init__(self, core: Core, post: Post, home: HomeRole) -> None:
        self._core = core
        self._post = post
        self._home = home

    def register(self, handlers: Handlers, inbox: Inbox) -> None:
        """What it carries out and takes in."""
        handlers.on(NotifyKeyFinal, self._hand_over)
        inbox.on("consent.key", self._take)

    async def _take(self, parcel: Parcel) -> Kept:
        body = RefreshedKey.model_validate(parcel.body)
        rows = await self._core.storage.views.page(Request, link=("grant", body.grant_id), limit=1)
        if not rows or rows[0][1].peer is None or rows[0][1].peer.address != parcel.sender:
            raise NotFound("No consent of this id was given to you.", field="grant_id")
        return Kept((), ((REFRESHED, body.grant_id.hex(), base64.b64encode(body.reader_key).decode()),))

    async def _hand_over(self, effect: NotifyKeyFinal) -> None:
        consent = await self._core.storage.views.one(Consent, effect.grant_id)
        if consent.terms is None or consent.terms.owner != self._home.owner.address:
            return
        kept = await self._core.storage.memory.facts.get(REFRESHED, effect.grant_id.hex())
        key = b"" if kept is None else base64.b64decode(kept)
        if not key or reader_key_hash(key) != effect.reader_key_hash:
            # The reader announced a key that it never sent: the old one stays until it does.
            _log.warning("refreshed_key_unknown", grant=effect.grant_id.hex()[:16])
            return
        peers = await self._home.places.writers_of(consent.terms.sids)
        if not peers:
            raise NodeUnreachable("No gateway is paired that could take a reader's key.", remedy="Pair one.")
        told = RefreshedKey(grant_id=effect.grant_id, reader_key=key).to_json()
        await self._home.places.send(self._post, peers, "stream.key", told)
