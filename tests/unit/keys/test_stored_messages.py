"""Signed messages as a node keeps them: values alone, read strictly; what earlier versions kept is read for ever."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import MessageError
from keys.messages import (
    Deposit,
    Domain,
    Match,
    Message,
    Offer,
    Permit,
    Request,
    call_from_stored,
    from_stored,
    market_domain,
    opening_of,
    parcel_domain,
    stored_form,
    stored_form_of,
    typed_data,
)
from keys.messages.table import STRUCTS
from tests.unit.keys.builders import DOMAIN, MESSAGES

NAMES = [type(message).__name__ for message in MESSAGES]
BY_KIND = {type(message): message for message in MESSAGES}
MARKET = market_domain(31337, bytes(range(20)))


def _earlier(message: Message, domain: Domain, *opening: bytes) -> str:
    """As the journal had it before."""
    document = {"typed": typed_data(message, domain), "opening": [part.hex() for part in opening]}
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _document(message: Message, domain: Domain) -> bytes:
    return json.dumps(typed_data(message, domain), separators=(",", ":")).encode()


@pytest.mark.parametrize("message", MESSAGES, ids=NAMES)
@pytest.mark.parametrize(
    "domain", [DOMAIN, parcel_domain(1), Domain('A "token" of ö', "2", 2**53 - 1, b"\xff" * 20)], ids=lambda d: d.name
)
def test_a_message_comes_back_as_it_was(message: Message, domain: Domain) -> None:
    text = stored_form(message, domain)
    assert from_stored(text) == (message, domain)
    assert stored_form(*from_stored(text)) == text
    assert len(text) < len(json.dumps(typed_data(message, domain))) / 2


@pytest.mark.parametrize("message", MESSAGES, ids=NAMES)
def test_what_earlier_versions_kept_is_read(message: Message) -> None:
    """Both the document alone, as of an order, and with its opening, and in each spelling that was taken in."""
    wide = json.loads(json.dumps(typed_data(message, DOMAIN)))
    wide["domain"]["verifyingContract"] = wide["domain"]["verifyingContract"].lower()
    for text in (_document(message, DOMAIN).decode(), json.dumps(wide, indent=1), _earlier(message, DOMAIN)):
        assert from_stored(text) == (message, DOMAIN)
        assert stored_form_of(text) == stored_form(message, DOMAIN), "one message has one text"


def test_the_opening_is_kept_as_what_it_is() -> None:
    match, offer, request = BY_KIND[Match], BY_KIND[Offer], BY_KIND[Request]
    text = stored_form(match, MARKET, [offer, request])
    assert call_from_stored(text) == (match, MARKET, (offer, request))
    documents = [_document(each, MARKET) for each in (offer, request)]
    earlier = _earlier(match, MARKET, *documents)
    assert call_from_stored(earlier) == (match, MARKET, (offer, request))
    assert stored_form_of(earlier) == text
    assert len(text) < len(earlier) / 5
    assert [opening_of(each) for each in documents] == [offer, request]


def test_bytes_beside_a_message_stay_bytes() -> None:
    deposit, permit = BY_KIND[Deposit], BY_KIND[Permit]
    text = stored_form(deposit, MARKET, [permit, b"\x01" * 65])
    assert call_from_stored(text).opening == (permit, b"\x01" * 65)
    for raw in (b"", b"\x01", b"{", b'{"a":1}', b"[1]", b'{"types":' + b"[" * 100_000):
        assert opening_of(raw) == raw
        assert call_from_stored(stored_form(deposit, MARKET, [raw])).opening == (raw,)


def _changed(change: Callable[[list[Any]], object]) -> str:
    document = json.loads(stored_form(BY_KIND[Offer], MARKET, [b"\x01", BY_KIND[Permit]]))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d.__setitem__(0, 2), "version 2"),
        (lambda d: d.__setitem__(0, True), "version True"),
        (lambda d: d.pop(), "expected 5 parts"),
        (lambda d: d.append(1), "expected 5 parts"),
        (lambda d: d.__setitem__(1, "Offers"), "'Offers'"),
        (lambda d: d.__setitem__(1, ["Offer"]), "unknown message type"),
        (lambda d: d.__setitem__(2, None), "EIP712Domain"),
        (lambda d: d[2].pop(), "EIP712Domain"),
        (lambda d: d[2].__setitem__(0, 5), "EIP712Domain.name"),
        (lambda d: d[2].__setitem__(0, [5]), "EIP712Domain"),
        (lambda d: d[2].__setitem__(2, "31337"), "EIP712Domain.chainId"),
        (lambda d: d[2].__setitem__(2, True), "EIP712Domain.chainId"),
        (lambda d: d[2].__setitem__(3, "00"), "EIP712Domain.verifyingContract"),
        (lambda d: d[2].__setitem__(3, 7), "EIP712Domain.verifyingContract"),
        (lambda d: d.__setitem__(3, {}), "Offer: expected a list"),
        (lambda d: d[3].pop(), "Offer.deadline is missing"),
        (lambda d: d[3].append(1), "Offer: 12 values"),
        (lambda d: d[3].__setitem__(0, 1), "Offer.account"),
        (lambda d: d[3].__setitem__(0, "ab"), "Offer.account"),
        (lambda d: d[3].__setitem__(0, d[3][0][:-2] + "AB"), "Offer.account"),
        (lambda d: d[3].__setitem__(0, d[3][0][:-2] + "  "), "Offer.account"),
        (lambda d: d[3].__setitem__(2, "0x" + d[3][2][2:]), "Offer.terms"),
        (lambda d: d[3].__setitem__(5, 2**64), "Offer.wh"),
        (lambda d: d[3].__setitem__(5, -1), "Offer.wh"),
        (lambda d: d[3].__setitem__(5, "5"), "Offer.wh"),
        (lambda d: d[3].__setitem__(5, 5.0), "Offer.wh"),
        (lambda d: d[3].__setitem__(5, True), "Offer.wh"),
        (lambda d: d.__setitem__(4, None), "opening: "),
        (lambda d: d[4].__setitem__(0, 5), r"opening\[0\]"),
        (lambda d: d[4].__setitem__(0, "0g"), r"opening\[0\]"),
        (lambda d: d[4][1].pop(), r"opening\[1\]"),
        (lambda d: d[4][1][1].__setitem__(0, "ab"), "Permit.owner"),
    ],
)
def test_what_was_changed_is_refused_by_its_name(change: Callable[[list[Any]], object], named: str) -> None:
    text = _changed(change)
    with pytest.raises(MessageError, match=named):
        from_stored(text)
    assert stored_form_of(text) == text


@pytest.mark.parametrize("text", ["", "{", "1", "null", "[]", "{}", '{"typed":1,"opening":[]}', "[" * 100_000])
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(MessageError):
        from_stored(text)
    assert stored_form_of(text) == text


def test_a_changed_type_needs_another_version_of_the_form() -> None:
    """Values stand in the order of their type and name nothing: by another type, what is stored would be read into
    another meaning. Where a type changes, the form gets a new version, and the former types are still read."""
    types = "\n".join(sorted(struct.type_string for struct in STRUCTS.values()))
    assert hashlib.sha256(types.encode()).hexdigest() == (
        "1172208755163a6bf08786887caf238db20c69a857bbf812fc8c0f51fb31d949"
    )


@given(st.text())
def test_no_text_does_anything_but_raise_message_error(text: str) -> None:
    with pytest.raises(MessageError):
        from_stored(text)
