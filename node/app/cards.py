"""Party cards: how a node shows itself, signed by the account it shows (permissions.md 1)."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import aiohttp
from pydantic import ValidationError

from keys.errors import KeysError
from keys.messages import Statement, parcel_domain, verify
from node.app.core import Core, canonical
from node.errors import NodeUnreachable, Refused
from node.wire.consents import PartyCard

__all__ = ["OwnCard", "fetch_card"]

TOPIC = "party card"
VALID_SECONDS = 7 * 86_400
MAX_BYTES = 65_536


def _statement(card: PartyCard, nonce: bytes, signed_at: int) -> Statement:
    digest = hashlib.sha256(canonical(card.to_json()).encode()).digest()
    return Statement(card.address, TOPIC, digest, nonce, signed_at, signed_at + VALID_SECONDS)


class OwnCard:
    """This node's card, signed anew for whoever asks."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def signed(self) -> dict[str, Any]:
        """The document of /.well-known/wattpact.json."""
        core = self._core
        card, nonce, now = core.card, os.urandom(32), core.clock.now()
        domain = parcel_domain(core.settings.chain.chain_id)
        signature = await core.signer.sign_message(_statement(card, nonce, now), domain)
        return {"card": card.to_json(), "nonce": nonce.hex(), "signed_at": now, "signature": signature.hex()}


async def fetch_card(core: Core, url: str) -> PartyCard:
    """The card that a node shows of itself. Raises NodeUnreachable, or Refused for something that is no signed card."""
    address = url.rstrip("/") + "/.well-known/wattpact.json"
    try:
        async with core.http.get(address, allow_redirects=False) as answer:
            raw = await answer.content.read(MAX_BYTES)
            if answer.status != 200:
                raise NodeUnreachable(f"{url} answers {answer.status}.", remedy="Check the address.")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise NodeUnreachable(f"{url} cannot be reached.", remedy="Check the address and the network.") from error
    try:
        document = json.loads(raw)
        card = PartyCard.model_validate(document["card"])
        signed_at = int(document["signed_at"])
        message = _statement(card, bytes.fromhex(document["nonce"]), signed_at)
        signature = bytes.fromhex(document["signature"])
    except (ValueError, ValidationError, KeyError, TypeError) as error:
        raise Refused(f"{url} does not show a party card.", remedy="Is a Wattpact node there?") from error
    except KeysError as error:
        raise Refused(f"{url} shows a card that cannot be signed: {error}.") from error
    try:
        verify(message, parcel_domain(core.settings.chain.chain_id), signature, card.address)
    except KeysError as error:
        raise Refused(f"The card of {url} is not signed by the account it shows.", remedy="Do not use it.") from error
    if core.clock.now() > message.expires_at:
        raise Refused(f"The card of {url} has expired.", remedy="Check both clocks.")
    return card
