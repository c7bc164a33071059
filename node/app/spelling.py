"""Texts with one spelling, and parties as the projection names them: pure, for this process and for its helper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from keys.eip712 import Domain
from keys.messages import Message, Opening, digest, opening_of, stored_form
from node.projection.base import Peer
from node.projection.events import RequestedSubmission
from node.wire.consents import PartyCard

__all__ = ["canonical", "peer_of", "problem_in", "wish_for"]


_WRITER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(body: object) -> str:
    """JSON text with one spelling, for bodies that the projection compares."""
    return _WRITER.encode(body)


def problem_in(answer: bytes) -> dict[str, Any]:
    """The problem document in somebody's refusal; empty for whatever else it may be. Nothing in it is trusted."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def peer_of(card: PartyCard) -> Peer:
    """Where and to whom parcels for the holder of a card go."""
    return Peer(card.address, card.inbox_url, card.sealing_key)


def wish_for(
    message: Message, signatures: Sequence[bytes], opening: Sequence[Opening], domain: Domain, now: int
) -> RequestedSubmission:
    """The wish to have a signed message on the chain.

    `opening`: what the call discloses beside it (device and salt, the orders of a match).
    """
    shown = [opening_of(part) if isinstance(part, bytes) else part for part in opening]
    text, deadline = stored_form(message, domain, shown), getattr(message, "deadline", None)
    return RequestedSubmission(digest(message, domain), type(message).__name__, text, tuple(signatures), deadline, now)
