"""The signed party card that a node shows at /.well-known/wattpact.json, and the check that it is one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from keys.errors import KeysError
from keys.messages import Statement, parcel_domain, verify
from node.errors import Refused
from node.wire.consents import PartyCard

__all__ = ["CARD_PATH", "card_statement", "read_card"]

CARD_PATH = "/.well-known/wattpact.json"
TOPIC = "party card"
VALID_SECONDS = 7 * 86_400


def card_statement(card: PartyCard, nonce: bytes, signed_at: int) -> Statement:
    """What the card's own account signs: its hash, for a week."""
    text = json.dumps(card.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).digest()
    return Statement(card.address, TOPIC, digest, nonce, signed_at, signed_at + VALID_SECONDS)


def read_card(document: Mapping[str, Any], url: str, chain_id: int, now: int) -> PartyCard:
    """The card in a document. Raises Refused for what is no card, or not signed by the account that it shows."""
    try:
        card = PartyCard.model_validate(document["card"])
        message = card_statement(card, bytes.fromhex(document["nonce"]), int(document["signed_at"]))
        signature = bytes.fromhex(document["signature"])
    except (ValueError, ValidationError, KeyError, TypeError, OverflowError) as error:
        raise Refused(f"{url} does not show a party card.", remedy="Is a Wattpact node there?") from error
    except KeysError as error:
        raise Refused(f"{url} shows a card that cannot be signed: {error}.") from error
    try:
        verify(message, parcel_domain(chain_id), signature, card.address)
    except KeysError as error:
        raise Refused(f"The card of {url} is not signed by the account it shows.", remedy="Do not use it.") from error
    if now > message.expires_at:
        raise Refused(f"The card of {url} has expired.", remedy="Check both clocks.")
    return card
