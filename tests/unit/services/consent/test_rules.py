"""permissions.md 1, door 3: what may be granted of a request, and the text that is accepted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from keys.sealing import SealingKey, reader_key_hash
from node.services.consent.errors import ConsentRefused, UnknownRequest
from node.services.consent.rules import GRANT_VALID_SECONDS, OwnedStream, Wish, build_grant, build_revoke, choose_scope
from node.services.consent.text import Scope, consent_text
from node.types import OPEN_END
from node.wire.consents import ConsentRequest, PartyCard

NOW = 1_800_000_000
GENESIS = NOW - 86_400
KEY = SealingKey.from_bytes(b"\x05" * 32).public_bytes
OWNED = [
    OwnedStream(b"\x01" * 32, "electricity/1s", GENESIS, 60),
    OwnedStream(b"\x02" * 32, "electricity/15min", GENESIS, 900),
]


def asked(**changes: object) -> ConsentRequest:
    card = PartyCard(name="Insight", address=b"\x0a" * 20, sealing_key=KEY, inbox_url="http://127.0.0.1:1")
    fields: dict[str, object] = {
        "request_id": b"\x09" * 32,
        "card": card,
        "reader": b"\x0b" * 20,
        "reader_key": KEY,
        "streams": ("electricity/1s", "electricity/15min"),
        "start": NOW,
        "end": NOW + 7_200,
        "purpose": "a day in pictures",
        "purpose_tag": 3,
        "expires": NOW + 600,
    }
    return ConsentRequest.model_validate({**fields, **changes})


def test_the_whole_request() -> None:
    scope = choose_scope(asked(), Wish(), OWNED, NOW)
    assert scope == Scope(("electricity/1s", "electricity/15min"), NOW, NOW + 7_200)


def test_in_part_and_never_wider() -> None:
    """Fewer streams and a shorter time; a wish beyond the request is cut to it."""
    scope = choose_scope(asked(), Wish(("electricity/15min",), NOW + 900, NOW + 99_999), OWNED, NOW)
    assert scope == Scope(("electricity/15min",), NOW + 900, NOW + 7_200)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (Wish(streams=("gas/1h",)), "streams"),
        (Wish(streams=()), "streams"),
        (Wish(start=NOW + 10, end=NOW + 50), "end"),
    ],
)
def test_what_cannot_be_granted_names_the_field(wish: Wish, field: str) -> None:
    with pytest.raises(ConsentRefused) as refused:
        choose_scope(asked(), wish, OWNED, NOW)
    assert refused.value.field == field
    assert refused.value.remedy


def test_a_stream_that_the_household_lacks_is_named_with_what_is_left() -> None:
    with pytest.raises(ConsentRefused, match="electricity/15min") as refused:
        choose_scope(asked(), Wish(), OWNED[:1], NOW)
    assert "--streams electricity/1s" in refused.value.remedy


def test_a_stream_that_another_household_had_is_granted_from_the_transfer_on() -> None:
    """channels.md 4 rule 11: no grant may start before the transfer."""
    owned = [replace(OWNED[0], since=NOW + 50), *OWNED[1:]]
    assert choose_scope(asked(), Wish(), owned, NOW).start == NOW + 50
    assert choose_scope(asked(), Wish(start=NOW + 70), owned, NOW).start == NOW + 70


def test_an_ended_request_is_unknown() -> None:
    with pytest.raises(UnknownRequest):
        choose_scope(asked(), Wish(), OWNED, NOW + 600)


def test_an_interval_without_a_whole_slot_is_refused() -> None:
    """channels.md 1: the slots of a grant are those that it covers wholly."""
    with pytest.raises(ConsentRefused, match="900 s"):
        choose_scope(asked(end=NOW + 800), Wish(("electricity/15min",)), OWNED, NOW)
    assert choose_scope(asked(end=OPEN_END), Wish(("electricity/15min",)), OWNED, NOW).end == OPEN_END


def test_the_text_is_canonical_salted_and_says_what_was_on_the_screen() -> None:
    """permissions.md 1: exactly what was accepted is hashed into the Grant."""
    scope = Scope(("electricity/1s",), NOW, OPEN_END)
    text = consent_text(asked(), scope, b"\x01" * 32, {"electricity/1s": 60})
    again = consent_text(asked(), scope, b"\x01" * 32, {"electricity/1s": 60})
    other = consent_text(asked(), scope, b"\x02" * 32, {"electricity/1s": 60})
    document = json.loads(text.canonical)
    assert text == again
    assert text.digest != other.digest
    assert document["until"] is None
    assert document["party"]["name"] == "Insight"
    assert document["purpose"] == "a day in pictures"
    assert text.canonical == json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_the_grant_carries_the_scope_the_key_and_the_text() -> None:
    scope = choose_scope(asked(), Wish(), OWNED, NOW)
    text = consent_text(asked(), scope, bytes(32), {"electricity/1s": 60, "electricity/15min": 900})
    grant = build_grant(b"\x0c" * 20, asked(), scope, [s.sid for s in OWNED], text, 7, NOW)
    assert (grant.owner, grant.reader, grant.nonce) == (b"\x0c" * 20, b"\x0b" * 20, 7)
    assert grant.reader_key_hash == reader_key_hash(KEY)
    assert grant.sids == (b"\x01" * 32, b"\x02" * 32)
    assert grant.text_hash == text.digest
    assert grant.deadline == NOW + GRANT_VALID_SECONDS


def test_a_revocation_of_all_streams_names_none() -> None:
    assert build_revoke(b"\x0c" * 20, b"\x01" * 32).sid == bytes(32)
    assert build_revoke(b"\x0c" * 20, b"\x01" * 32, b"\x02" * 32).sid == b"\x02" * 32
