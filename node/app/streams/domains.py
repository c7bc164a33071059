"""Whether the domain on a party's card shows that card itself (permissions.md 1).

A party writes whatever domain it likes on its card. So the home asks the domain over https and never the party. An
attacker chooses what is called, how often, and how slowly it answers: the calls go through `Outbound`, a few at a time
and those of the newest requests first, one domain has one finding whoever names it, and nobody who sends a request
waits for any of it.

A finding is no promise that the party is honest: only that whoever holds the domain shows the same account and key.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from keys.sealing import reader_key_hash
from node.app.cards import card_in
from node.app.core import Core
from node.app.services import until_stopped
from node.errors import NodeError
from node.projection.consent import Consent, ConsentStatus
from node.projection.request import Request, RequestStatus
from node.runtime.outbound import Outbound
from node.runtime.supervisor import Lifecycle, Service
from node.storage.facts import Facts
from node.storage.journal import Applied
from node.types import to_hex
from node.wire.cards import CARD_PATH
from node.wire.consents import ConsentRequest, PartyCard

__all__ = ["DOMAINS", "DomainWatch", "Finding", "Verdict", "verdict_on"]

DOMAINS = "domain"
"""Namespace of facts: the last finding, by domain name in small letters."""

DAY_S: Final = 86_400
RETRY_S: Final = 3_600
SWEEP_S: Final = 900
LIMIT: Final = 1_000_000
AT_ONCE: Final = 4
MANY: Final = 1_000
PAGE: Final = 100
_REASON: Final = 300
_VERSION: Final = 1
_OPEN: Final = (RequestStatus.SHOWN, RequestStatus.RECEIVED)
_GIVEN: Final = (RequestStatus.ANSWERED, RequestStatus.GRANTED)
# The last label of a name begins with a letter, so no spelling of a bare address passes.
_NAME: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a domain showed at a time (seconds UTC): the account and sealing key hash of a valid card, in hex, or none
    of both and the reason."""

    at: int
    address: str = ""
    key_hash: str = ""
    reason: str = ""
    version: int = _VERSION

    def is_of(self, card: PartyCard) -> bool:
        """Whether it is this party's card."""
        return bool(self.address) and (self.address, self.key_hash) == _named(card)

    def due(self, card: PartyCard, since: int, now: int) -> bool:
        """Whether a request of `since` asks for another look: after a day; after an hour where no card was shown, or
        another one than that of a party which asked only then and may have put its own there since."""
        settled = self.is_of(card) or (bool(self.address) and since <= self.at)
        return not self.at <= now < self.at + (DAY_S if settled else RETRY_S)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verified or not, why not, and by what was found when. Nothing of it where a card names no domain."""

    verified: bool = False
    reason: str = ""
    at: int | None = None


async def verdict_on(facts: Facts, card: PartyCard) -> Verdict:
    """What this node knows of the domain of a card."""
    if not card.domain:
        return Verdict()
    domain = _domain(card)
    if domain is None:
        return Verdict(reason="This is no domain name.")
    found = _finding(await facts.get(DOMAINS, domain))
    if found is None:
        return Verdict(reason="It was not asked yet.")
    if not found.address:
        return Verdict(False, found.reason, found.at)
    if found.is_of(card):
        return Verdict(True, "", found.at)
    if found.address == to_hex(card.address):
        return Verdict(False, f"{domain} shows this party with another key.", found.at)
    return Verdict(False, f"{domain} shows the card of another party, {found.address}.", found.at)


class DomainWatch:
    """Asks the domains of open requests and of given consents that hold. `port` is that of https wherever it counts."""

    def __init__(self, core: Core, outbound: Outbound, port: int = 443) -> None:
        self._core = core
        self._outbound = outbound
        self._port = port
        self._new: dict[bytes, Request] = {}
        self._known: dict[bytes, Request] = {}
        self._wake = asyncio.Event()
        self._swept: float | None = None
        core.storage.journal.subscribe(self._heard)

    def service(self) -> Service:
        async def run(life: Lifecycle) -> None:
            await until_stopped(life, self._watch())

        return Service("domains", run)

    async def close(self) -> None:
        await self._outbound.close()

    def _heard(self, applied: Applied) -> None:
        for record in applied.records:
            for change in record.changes:
                state = change.state
                if isinstance(state, Request) and state.status is RequestStatus.RECEIVED:
                    self._new[change.aggregate.key] = state
                    if len(self._new) > MANY:  # the sweep comes to those that fall out here
                        del self._new[next(iter(self._new))]
                    self._wake.set()

    async def _watch(self) -> None:
        while True:
            self._wake.clear()
            if await self.step():
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._wake.wait()

    async def step(self) -> bool:
        """Looks at a few domains, the newest request's first; True while there are more."""
        now = self._core.clock.monotonic()
        if self._swept is None or now - self._swept >= SWEEP_S:
            self._swept = now
            self._known = await self._held()
        some: dict[str, Request] = {}
        while len(some) < AT_ONCE and (queue := self._new or self._known):
            _, request = queue.popitem()
            domain = _domain(_card(request))
            if domain is not None:
                some.setdefault(domain, request)
        async with asyncio.TaskGroup() as group:
            for domain, request in some.items():
                group.create_task(self._look(domain, request))
        return bool(self._new or self._known)

    async def _held(self) -> dict[bytes, Request]:
        """The requests whose party a person may look at to decide something, the newest last."""
        views, found = self._core.storage.views, dict[bytes, Request]()
        for status in (*_GIVEN, *_OPEN):
            before: int | None = None
            listed: list[Request] = []
            while page := await views.page(Request, status=status, before=before, limit=PAGE):
                some = [state for _, state in page]
                listed += some if status in _OPEN else await self._holding(some)
                before = page[-1][0]
            found |= {state.request_id: state for state in reversed(listed)}
        return found

    async def _holding(self, requests: Sequence[Request]) -> list[Request]:
        """Those of which a consent came that holds."""
        grants = [state.grant_id for state in requests if state.grant_id is not None]
        consents = await self._core.storage.views.many(Consent, grants)
        live = {key for key, consent in consents.items() if consent.status is ConsentStatus.LIVE}
        return [state for state in requests if state.grant_id in live]

    async def _look(self, domain: str, request: Request) -> None:
        facts, now = self._core.storage.memory.facts, self._core.clock.now()
        last = _finding(await facts.get(DOMAINS, domain))
        if last is None or last.due(_card(request), request.received_at, now):
            await facts.set(DOMAINS, domain, asdict(await self._ask(domain, now)))

    async def _ask(self, domain: str, now: int) -> Finding:
        url = f"https://{domain}{'' if self._port == 443 else f':{self._port}'}"
        try:
            card = card_in(await self._outbound.get(url + CARD_PATH, LIMIT), url, self._core)
        except NodeError as error:
            return Finding(now, reason=error.message[:_REASON])
        address, key_hash = _named(card)
        return Finding(now, address, key_hash)


def _named(card: PartyCard) -> tuple[str, str]:
    return to_hex(card.address), to_hex(reader_key_hash(card.sealing_key))


def _domain(card: PartyCard) -> str | None:
    """The name to ask, in small letters; None for what is none."""
    name = card.domain.lower()
    return name if _NAME.fullmatch(name) else None


def _card(request: Request) -> PartyCard:
    return ConsentRequest.model_validate_json(request.body).card


def _finding(kept: Mapping[str, Any] | None) -> Finding | None:
    """None also for one that another release wrote."""
    return Finding(**kept) if kept is not None and kept.get("version") == _VERSION else None
