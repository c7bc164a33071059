"""Sending sealed messages to other nodes, with a clear verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import structlog

from keys.parcel import MAX_LIFETIME, pack
from node.app.core import Core
from node.app.mail import same_of
from node.app.spelling import canonical, problem_in
from node.errors import NodeUnreachable, Refused
from node.projection.base import Peer
from node.projection.effects import SendParcel
from node.projection.events import ReceivedAnswerReceipt
from node.projection.order import Order, OrderStatus
from node.projection.settlement_events import ReceivedRefusal
from node.runtime.errors import PermanentFailure
from node.runtime.outbound import read_at_most
from node.wire.refusals import read_refusal

__all__ = ["NOBODY", "UNPROVEN", "Post"]

_log = structlog.get_logger(__name__)

ORDER = "market.order"
UNPROVEN = "order_unproven"
"""Namespace of facts: the reason that somebody gave for refusing an own order, without the market's signature, by the
order's id; while that is the last that was heard."""

_TAKEN_BACK = (OrderStatus.REFUSED, OrderStatus.CANCELLED)

ANSWERS = frozenset({"consent.granted", "consent.denied", "consent.expired"})
NOBODY = ".invalid"
"""End of an address that nobody can have (RFC 2606). A card with one says: this party asks, and takes no messages."""
BINARY = {"Content-Type": "application/octet-stream"}


class Post:
    """Sends parcels. A refusal by the other side is final; silence is tried again by the outbox."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def send(
        self, peer: Peer, kind: str, body: Mapping[str, Any], lifetime: int = MAX_LIFETIME, *, standing: bool = False
    ) -> None:
        """Raises NodeUnreachable (try again) or PermanentFailure (the other side will not have it).

        `standing`: it is said again and again until it is taken, and what it says never stops to hold. Where it waits
        in a mailbox it is not sent at every try. Whatever can be taken back and said anew must not be standing.
        """
        await self._deliver(peer, kind, body, lifetime, same_of(kind, canonical(dict(body))) if standing else b"")

    async def _deliver(self, peer: Peer, kind: str, body: Mapping[str, Any], lifetime: int, same: bytes) -> None:
        core = self._core

        async def make() -> bytes:
            return await pack(
                core.signer,
                peer.sealing_key,
                kind,
                body,
                chain_id=core.settings.chain.chain_id,
                now=core.clock.now(),
                lifetime=max(60, min(lifetime, MAX_LIFETIME)),
            )

        where = peer.url or f"the mailbox of 0x{peer.address.hex()}"
        if peer.url:
            status, text = await self._over_http(peer.url, kind, await make())
        elif core.mail is not None:
            status, text = await core.mail.call(peer, same, make)
        else:
            raise PermanentFailure(f"{where} is at a broker, and this program reads none")
        core.metrics.parcels.labels("sent").inc()
        if status >= 500 or status in (408, 425, 429):
            reason = _reason(problem_in(text))
            raise NodeUnreachable(f"{where} answers {status} to {kind}: {reason}", remedy="It is tried again.")
        if status >= 400:
            problem = problem_in(text)
            refused = PermanentFailure(f"{where} refuses a {kind}: {_reason(problem)}")
            refused.proof = problem.get("proof")
            raise refused

    async def _over_http(self, url: str, kind: str, parcel: bytes) -> tuple[int, bytes]:
        inbox = url.rstrip("/") + "/api/v1/inbox"
        try:
            async with self._core.http.post(inbox, data=parcel, headers=BINARY, allow_redirects=False) as answer:
                return answer.status, await read_at_most(answer, 4_096)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NodeUnreachable(f"{url} cannot be reached for a {kind}.", remedy="It is tried again.") from error

    async def carry_out(self, effect: SendParcel) -> None:
        """The outbox's handler: delivers, then tells that an answer was received, or that an order was refused."""
        now = self._core.clock.now()
        if effect.peer.url.endswith(NOBODY):
            return
        if effect.until <= now:
            raise PermanentFailure(f"the time for a {effect.kind} is over")
        if effect.kind == ORDER:
            await self._order(effect, now)
            return
        same = same_of(effect.kind, effect.body, effect.about.hex(), str(effect.until))
        await self._deliver(effect.peer, effect.kind, json.loads(effect.body), effect.until - now, same)
        if effect.kind in ANSWERS:
            await self._core.storage.memory.keep([ReceivedAnswerReceipt(effect.about, now)])

    async def _order(self, effect: SendParcel, now: int) -> None:
        """An order to its market, which takes it or refuses it. A no that the market did not sign may be anybody's, or
        a market's whose key does not sign now: it is asked again while the order stands, and a person is told."""
        core, name = self._core, effect.about.hex()
        if (await core.storage.views.one(Order, effect.about)).status in _TAKEN_BACK:
            return  # carried out once more: its energy may be sold elsewhere by now
        same = same_of(effect.kind, effect.body, name, str(effect.until))
        try:
            await self._deliver(effect.peer, effect.kind, json.loads(effect.body), effect.until - now, same)
        except PermanentFailure as refused:
            refusal = self._refusal(effect, refused)
            if refusal is None:
                await self._doubt(name, str(refused))
                raise NodeUnreachable(f"{refused} It did not sign that.", remedy="Cancel the order, or wait.") from None
            await core.storage.memory.keep([refusal])
            core.wake()
        await self._doubt(name, None)

    async def _doubt(self, name: str, reason: str | None) -> None:
        facts = self._core.storage.memory.facts
        if await facts.get(UNPROVEN, name) != reason:
            await facts.set(UNPROVEN, name, reason)

    def _refusal(self, effect: SendParcel, refused: PermanentFailure) -> ReceivedRefusal | None:
        """The market's no to an order; None where the market did not sign it."""
        chain_id, now = self._core.settings.chain.chain_id, self._core.clock.now()
        try:
            reason = read_refusal(refused.proof, effect.about, effect.peer.address, chain_id, now)
        except Refused:
            return None
        _log.warning("order_refused", order=effect.about.hex(), reason=reason)
        return ReceivedRefusal(effect.about, effect.peer.address, reason, now)


def _reason(problem: Mapping[str, Any]) -> str:
    return str(problem.get("detail") or problem.get("title") or "no reason given")[:200]
