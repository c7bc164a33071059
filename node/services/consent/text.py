"""The text that a person accepts, word for word, and its hash in the signed Grant (permissions.md 1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import rfc8785

from node.types import OPEN_END, to_hex
from node.wire.consents import ConsentRequest

__all__ = ["ConsentText", "Scope", "consent_text"]

VERSION = 1


@dataclass(frozen=True, slots=True)
class ConsentText:
    """`canonical` is the accepted text in RFC 8785 form; `digest` its SHA-256, the Grant's textHash."""

    canonical: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Scope:
    """What is granted in the end: categories, and the interval in seconds UTC after rounding to whole slots."""

    streams: tuple[str, ...]
    start: int
    end: int


def consent_text(request: ConsentRequest, scope: Scope, salt: bytes, slot_seconds: dict[str, int]) -> ConsentText:
    """Words the accepted consent.

    The salt keeps the hash on chain from being guessed from the few likely texts. The interval in the text is what the
    reader's keys open: whole slots inside the granted seconds.
    """
    document: dict[str, Any] = {
        "version": VERSION,
        "salt": to_hex(salt),
        "party": {
            "name": request.card.name,
            "domain": request.card.domain,
            "contact": request.card.contact,
            "policy": request.card.policy_url,
            "address": to_hex(request.card.address),
            "sealingKeyHash": to_hex(hashlib.sha256(request.card.sealing_key).digest()),
        },
        "reader": to_hex(request.reader),
        "requestId": to_hex(request.request_id),
        "purpose": request.purpose,
        "purposeTag": request.purpose_tag,
        "streams": [{"category": name, "slotSeconds": slot_seconds[name]} for name in scope.streams],
        "from": scope.start,
        "until": None if scope.end == OPEN_END else scope.end,
        "delivery": "end-to-end encrypted",
    }
    canonical = rfc8785.dumps(document)
    return ConsentText(canonical.decode(), hashlib.sha256(canonical).digest())
