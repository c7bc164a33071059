"""Pure rules of asking: the request that goes out, and the checks on the answer before anything of it is believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from keys.messages import Domain, Grant, digest
from keys.sealing import reader_key_hash
from node.services.provider.errors import AnswerMismatch
from node.types import to_hex
from node.wire.consents import ConsentGranted, ConsentRequest, GrantFields, PartyCard

__all__ = ["Ask", "build_request", "check_answer", "grant_of"]


@dataclass(frozen=True, slots=True)
class Ask:
    """What the provider's operator wants. Times in seconds UTC; `valid_for` seconds until the request runs out."""

    streams: tuple[str, ...]
    start: int
    end: int
    purpose: str
    purpose_tag: int
    valid_for: int


def build_request(
    ask: Ask, request_id: bytes, card: PartyCard, reader: bytes, reader_key: bytes, now: int
) -> ConsentRequest:
    """The request as it will be sent: a reader address and a sealing key of its own for each consent."""
    return ConsentRequest(
        request_id=request_id,
        card=card,
        reader=reader,
        reader_key=reader_key,
        streams=ask.streams,
        start=ask.start,
        end=ask.end,
        purpose=ask.purpose,
        purpose_tag=ask.purpose_tag,
        expires=now + ask.valid_for,
    )


def grant_of(fields: GrantFields) -> Grant:
    """The message that the fields describe."""
    return Grant(
        owner=fields.owner,
        reader=fields.reader,
        reader_key_hash=fields.reader_key_hash,
        sids=fields.sids,
        start=fields.start,
        end=fields.end,
        purpose_tag=fields.purpose_tag,
        text_hash=fields.text_hash,
        nonce=int(fields.nonce),
        deadline=fields.deadline,
    )


def check_answer(request: ConsentRequest, answer: ConsentGranted, domain: Domain) -> Grant:
    """Checks a yes against what was asked. Raises AnswerMismatch with the field that does not fit.

    The signature of an owner with a contract account can only be checked by the chain, so a signature that does not
    recover is left to the chain's own event; what is checked here are the facts that only the two parties know.
    """
    grant = grant_of(answer.grant)
    _require(digest(grant, domain) == answer.grant_id, "grant_id", "is not the digest of the grant")
    _require(grant.reader == request.reader, "grant.reader", "is not the address that asked")
    _require(
        grant.reader_key_hash == reader_key_hash(request.reader_key),
        "grant.reader_key_hash",
        "is not the key that asked",
    )
    _require(request.start <= grant.start and grant.end <= request.end, "grant.start", "is wider than what was asked")
    _require(grant.purpose_tag == request.purpose_tag, "grant.purpose_tag", "is another purpose")
    _require(tuple(s.sid for s in answer.streams) == grant.sids, "streams", "are not those of the grant")
    categories = [s.category for s in answer.streams]
    _require(set(categories) <= set(request.streams), "streams", "name one that was not asked for")
    _require(
        hashlib.sha256(answer.text.encode()).digest() == grant.text_hash, "text", "is not the text that was accepted"
    )
    _check_text(request, answer.text, categories)
    return grant


def _check_text(request: ConsentRequest, text: str, categories: Sequence[str]) -> None:
    document = json.loads(text)
    _require(document.get("requestId") == to_hex(request.request_id), "text.requestId", "is another request's")
    _require(document.get("purpose") == request.purpose, "text.purpose", "was changed")
    named = [stream.get("category") for stream in document.get("streams", [])]
    _require(named == list(categories), "text.streams", "differ from the granted ones")


def _require(holds: bool, field: str, problem: str) -> None:
    if not holds:
        raise AnswerMismatch(f"{field} {problem}", remedy="ask the household to answer the request again", field=field)
