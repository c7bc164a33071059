"""What a provider believes of an answer: nothing that does not fit its own request (permissions.md 1 and 5)."""

from __future__ import annotations

import pytest

from keys.messages import digest, registry_domain
from keys.sealing import reader_key_hash
from node.services.consent.text import Scope, consent_text
from node.services.provider.asking import Ask, build_request, check_answer, grant_of
from node.services.provider.errors import AnswerMismatch
from node.wire.consents import ConsentGranted, ConsentRequest, GrantFields, PartyCard, StreamAccess
from tests.unit.services.consent.test_rules import KEY

NOW = 1_800_000_000
DOMAIN = registry_domain(31337, b"\x07" * 20)
READER = b"\x0b" * 20
SID = b"\x01" * 32


def _request() -> ConsentRequest:
    card = PartyCard(name="Insight", address=b"\x0a" * 20, sealing_key=KEY, inbox_url="http://127.0.0.1:1")
    ask = Ask(("electricity/1s",), NOW, NOW + 3_600, "pictures", 3, 600)
    return build_request(ask, b"\x09" * 32, card, READER, KEY, NOW)


def _answer(**changes: object) -> ConsentGranted:
    request = _request()
    text = consent_text(request, Scope(("electricity/1s",), NOW, NOW + 3_600), bytes(32), {"electricity/1s": 60})
    fields: dict[str, object] = {
        "owner": b"\x0c" * 20,
        "reader": READER,
        "reader_key_hash": reader_key_hash(KEY),
        "sids": (SID,),
        "start": NOW,
        "end": NOW + 3_600,
        "purpose_tag": 3,
        "text_hash": text.digest,
        "nonce": "1",
        "deadline": NOW + 86_400,
    }
    grant = GrantFields.model_validate({**fields, **{k: v for k, v in changes.items() if k in fields}})
    access = StreamAccess(
        sid=SID, category="electricity/1s", genesis=NOW - 60, slot_seconds=60, writer=b"\x0d" * 20,
        stream_key=b"\x0e" * 32, broker_url="mqtt://127.0.0.1:1883",
    )  # fmt: skip
    answer: dict[str, object] = {
        "request_id": b"\x09" * 32,
        "grant_id": digest(grant_of(grant), DOMAIN),
        "grant": grant,
        "signature": bytes(65),
        "streams": (access,),
        "text": text.canonical,
    }
    return ConsentGranted.model_validate({**answer, **{k: v for k, v in changes.items() if k in answer}})


@pytest.mark.parametrize("url", ["mqtts://broker.example:8883", "http://127.0.0.1:8080", "https://relay.example"])
def test_streams_are_found_at_brokers_and_relays(url: str) -> None:
    [access] = _answer().streams
    assert StreamAccess.model_validate({**access.model_dump(), "broker_url": url}).broker_url == url


def test_a_fitting_answer_is_believed() -> None:
    assert check_answer(_request(), _answer(), DOMAIN).reader == READER


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"grant_id": bytes(32)}, "grant_id"),
        ({"reader": b"\x0f" * 20}, "grant.reader"),
        ({"reader_key_hash": bytes(32)}, "grant.reader_key_hash"),
        ({"start": NOW - 1}, "grant.start"),
        ({"end": NOW + 3_601}, "grant.start"),
        ({"purpose_tag": 4}, "grant.purpose_tag"),
        ({"sids": (b"\x02" * 32,)}, "streams"),
        ({"text": "{}"}, "text"),
    ],
)
def test_an_answer_that_differs_is_refused_with_the_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(AnswerMismatch) as refused:
        check_answer(_request(), _answer(**changes), DOMAIN)
    assert refused.value.field == field
