"""The connection to a market's node: its card, its terms, sealed parcels to it, signed questions. No rules here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
from pydantic import ValidationError

from keys.messages import parcel_domain
from keys.parcel import pack
from keys.signers import Signer
from node.client.errors import MarketRefused
from node.clock import Clock
from node.errors import NodeUnreachable, Refused
from node.types import address_from_text, from_hex
from node.wire.cards import CARD_PATH, read_card
from node.wire.consents import PartyCard
from node.wire.desk import DeskAnswer, DeskQuestion, desk_statement

__all__ = ["Contracts", "Link", "MarketLink", "Place", "read_terms", "signed_question"]

_MAX_ANSWER: Final = 4_000_000
_BINARY: Final = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Contracts:
    """The contracts (bytes20) for which an asset signs: the Market, and the NetSettlement where it trades in a market
    that nets."""

    market: bytes
    net: bytes = b""


@dataclass(frozen=True, slots=True)
class Place:
    """A market whose card and terms were read: its operator (bytes20), the id of its terms (bytes32), its card; `net`
    is the contract (bytes20) in which it nets, empty for one that settles each contract by itself."""

    operator: bytes
    terms: bytes
    card: PartyCard
    net: bytes = b""


class Link(Protocol):
    """The way to one market. Raises NodeUnreachable (try again), MarketRefused, Refused."""

    async def find(self, contract: bytes, operator: bytes | None) -> Place: ...

    async def send(self, place: Place, kind: str, body: Mapping[str, Any], lifetime: int) -> None: ...

    async def ask(self, place: Place, seen: tuple[int, bytes], *, money: bool = False) -> DeskAnswer: ...


class MarketLink:
    """HTTP to one market. Raises NodeUnreachable (try again), MarketRefused, Refused."""

    def __init__(self, url: str, signer: Signer, chain_id: int, http: aiohttp.ClientSession, clock: Clock) -> None:
        self.url = url.rstrip("/")
        self._signer = signer
        self._chain_id = chain_id
        self._http = http
        self._clock = clock

    async def find(self, contract: bytes, operator: bytes | None) -> Place:
        """Reads card and terms. Raises Refused if the market settles in another contract, or is another operator's."""
        card = read_card(await self._call("GET", CARD_PATH), self.url, self._chain_id, self._clock.now())
        shown = await self._call("GET", "/api/v1/market/terms")
        try:
            settles_in, runs, terms, net = read_terms(shown)
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(f"{self.url} shows no terms of a market.") from error
        if settles_in != contract:
            raise Refused(f"{self.url} settles in another contract.", remedy="Compare the contract's address.")
        if runs != card.address or operator not in (None, runs):
            raise Refused(f"{self.url} is another operator's.", remedy="Compare the operator's address.")
        return Place(runs, terms, card, net)

    async def send(self, place: Place, kind: str, body: Mapping[str, Any], lifetime: int) -> None:
        """A parcel, sealed to the market's card and signed. Returns once the market has it on disk."""
        parcel = await pack(
            self._signer,
            place.card.sealing_key,
            kind,
            body,
            chain_id=self._chain_id,
            now=self._clock.now(),
            lifetime=lifetime,
        )
        await self._call("POST", "/api/v1/inbox", data=parcel, headers=_BINARY)

    async def ask(self, place: Place, seen: tuple[int, bytes], *, money: bool = False) -> DeskAnswer:
        """What changed for this account since `seen`."""
        question = await signed_question(self._signer, place.operator, self._chain_id, self._clock.now(), seen, money)
        found = await self._call("POST", "/api/v1/market/desk", json=question.to_json())
        try:
            return DeskAnswer.model_validate(found)
        except ValidationError as error:
            raise Refused(f"{self.url} gives an answer that cannot be read: {error.errors()[0]['msg']}.") from error

    async def _call(self, method: str, path: str, **rest: Any) -> dict[str, Any]:
        try:
            async with self._http.request(method, self.url + path, allow_redirects=False, **rest) as answer:
                raw, status = await _whole(answer), answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NodeUnreachable(f"{self.url} cannot be reached.", remedy="Try again.") from error
        try:
            document = json.loads(raw) if raw else {}
        except ValueError:
            document = {}
        if not isinstance(document, dict):
            document = {}
        if status >= 500 or status in (408, 425, 429):
            raise NodeUnreachable(f"{self.url} answers {status}.", remedy="Try again.")
        if status >= 300:
            detail = str(document.get("detail") or document.get("title") or "no reason given")
            raise MarketRefused(self.url, status, str(document.get("code", "")), detail[:300], document.get("proof"))
        return document


def read_terms(shown: Mapping[str, Any]) -> tuple[bytes, bytes, bytes, bytes]:
    """Market contract, operator, terms' id, and net settlement (empty for a market that does not net) of what a market
    shows. Raises KeyError, TypeError or ValueError."""
    net = bytes(address_from_text(shown["net_settlement"])) if shown.get("settle") == "net" else b""
    market, operator = bytes(address_from_text(shown["market"])), bytes(address_from_text(shown["operator"]))
    return market, operator, from_hex(shown["terms"], 32), net


async def signed_question(
    signer: Signer, operator: bytes, chain_id: int, now: int, seen: tuple[int, bytes], money: bool
) -> DeskQuestion:
    """A question about the signer's account, for one market and a minute."""
    nonce = os.urandom(32)
    asked = desk_statement(signer.address, operator, nonce, now)
    return DeskQuestion(
        account=signer.address,
        nonce=nonce,
        signed_at=now,
        signature=await signer.sign_message(asked, parcel_domain(chain_id)),
        seen_seq=seen[0],
        seen_id=seen[1],
        money=money,
    )


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    """The whole body. ValueError beyond the limit: `read(n)` alone gives what has arrived so far."""
    raw = bytearray()
    async for part in answer.content.iter_any():
        raw += part
        if len(raw) > _MAX_ANSWER:
            raise ValueError("the answer is too long")
    return bytes(raw)
