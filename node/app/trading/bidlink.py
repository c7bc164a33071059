"""A market whose bid manager runs alone: what the book has to know goes there, proposed matches come back.

Whatever comes back is a proposal like any engine's: the desk checks it against the signed orders, and the market signs.
Where the two lost each other (a restart, a command that never arrived) the market begins anew and tells everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
import structlog
from pydantic import ValidationError

from node.app.core import Core
from node.app.mutual import MutualServer, Tls
from node.app.trading.matching import Matching
from node.errors import ConfigError, NodeUnreachable
from node.runtime.outbound import read_at_most
from node.runtime.supervisor import Lifecycle, Service
from node.services.market.conditions import PLAIN, Particulars
from node.services.market.engine import Fill
from node.services.market.remote import Command, Proposal, RemoteBook
from node.wire.bids import AuctionHeld, BidPlaced, BidRemoved, GateClosed, MatchProposed
from node.wire.orderdetails import ConditionBody

__all__ = ["BidLink", "bid_of", "gate_of"]

_log = structlog.get_logger(__name__)

EVERY_S = 0.2
LOOK_S = 5.0


class BidLink:
    """One for each market with a `[bids] url`."""

    def __init__(self, core: Core, matching: Matching, remote: RemoteBook) -> None:
        chosen = core.settings.bids
        if chosen.tls is None or chosen.url is None:
            raise ConfigError("A bid manager of its own needs its certificates.", field="bids.tls", remedy="Set it.")
        self._core = core
        self._matching = matching
        self._remote = remote
        self._url = chosen.url.rstrip("/")
        self._tls = Tls(chosen.tls, "market")
        self._http: aiohttp.ClientSession | None = None
        self._looked = 0.0
        self.server = MutualServer(chosen.listen, self._tls, chosen.manager, {("POST", "/market/match"): self._take})

    def service(self) -> Service:
        return Service("bid manager", self._run)

    async def _run(self, life: Lifecycle) -> None:
        await self.open()
        try:
            life.ready()
            while not life.stop.is_set():
                await self.step()
                await asyncio.sleep(EVERY_S)
        finally:
            await self.close()

    async def open(self) -> None:
        """Listens for matches. Raises CertificateInvalid, Busy."""
        await self.server.start()
        self._http = self._tls.client()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None
        await self.server.close()

    async def step(self) -> None:
        """Tells the bid manager what it does not know. Raises NodeUnreachable; then it is told again."""
        while (command := self._remote.first) is not None:
            await self._tell(self._remote.session, command)
        now = self._core.clock.monotonic()
        if self._remote.told and now - self._looked >= LOOK_S:
            self._looked = now
            found = await self._ask("GET", "/bids/session", None)
            if (found.get("session"), found.get("number")) != ("0x" + self._remote.session.hex(), self._remote.told):
                _log.warning("bid_manager_lost_the_book")
                self._matching.begin_again()

    async def _tell(self, session: bytes, command: Command) -> None:
        if command.gate:
            found = await self._ask("POST", "/bids/gate", gate_of(session, command).to_json())
        else:
            kind = "remove" if command.quote is None else "offer" if command.quote.sells else "request"
            found = await self._ask("POST", f"/bids/{kind}", bid_of(session, command).to_json())
        if found.get("success") is True:
            if command.gate:
                self._held(session, command, found)
            self._remote.sent(session, command.number)
        else:
            _log.warning("bid_manager_lost_the_book", reason=found.get("error"))
            self._matching.begin_again()

    def _held(self, session: bytes, command: Command, found: Mapping[str, Any]) -> None:
        """The result of an auction. One that cannot be read is none: nothing is matched in that delivery."""
        try:
            result = AuctionHeld.model_validate({key: value for key, value in found.items() if key != "success"})
        except ValidationError as error:
            result = AuctionHeld(matches=(), fault=str(error.errors()[0]["msg"]))
        if result.fault:
            _log.error("auction_failed", start=command.slot.start, reason=result.fault)
            self._core.metrics.alarm("engine_fault")
        if session == self._remote.session:
            self._matching.auctioned(command.slot, [_proposal(each) for each in result.matches])

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        assert self._http is not None  # noqa: S101 (opened before)
        try:
            async with self._http.request(method, self._url + path, json=body, allow_redirects=False) as answer:
                if answer.status in (HTTPStatus.OK, HTTPStatus.CONFLICT):
                    found = await answer.json()
                    return found if isinstance(found, dict) else {}
                text = (await read_at_most(answer, 500)).decode(errors="replace")
                raise NodeUnreachable(f"The bid manager answers {answer.status}: {text}", remedy="Look at its log.")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NodeUnreachable(
                f"The bid manager cannot be reached: {error}.", remedy="It is tried again."
            ) from error

    async def _take(self, raw: Any) -> Mapping[str, Any]:
        """`/market/match` (M-14). What becomes of it is seen in the contracts, and in what the book is told next."""
        self._matching.proposed(_proposal(MatchProposed.model_validate(raw)))
        return {}


def _proposal(body: MatchProposed) -> Proposal:
    fill = Fill(body.offer, body.request, body.energy, body.price)
    return Proposal(body.session, fill, body.offer_number, body.request_number)


def gate_of(session: bytes, command: Command) -> GateClosed:
    """The wish for an auction as it is sent."""
    slot = command.slot
    return GateClosed(session=session, number=command.number, start=slot.start, end=slot.end, gate=slot.gate)


def bid_of(session: bytes, command: Command) -> BidRemoved:
    """A command as it is sent."""
    quote, slot = command.quote, command.slot
    base: dict[str, Any] = {
        "session": session,
        "number": command.number,
        "start": slot.start,
        "end": slot.end,
        "gate": slot.gate,
        "transaction": command.key,
    }
    if quote is None:
        return BidRemoved(**base)
    return BidPlaced(
        **base,
        account=quote.party,
        energy=quote.wh,
        price=quote.price,
        place=quote.seq,
        matched=quote.filled,
        **({} if quote.particulars == PLAIN else _wishes(quote.particulars)),
    )


def _wishes(what: Particulars) -> dict[str, Any]:
    conditions = tuple(
        ConditionBody(
            partners=tuple(sorted(each.partners)),
            areas=tuple(sorted(each.areas)),
            energies=tuple(sorted(each.energies)),
            price=each.price,
            wh=each.wh,
        )
        for each in what.conditions
    )
    return {
        "area": what.area or None,
        "energy_kind": what.energy or None,
        "partner": what.partner or None,
        "conditions": conditions,
    }
