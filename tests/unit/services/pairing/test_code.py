"""permissions.md 2: the one-time code, typed and as a QR code."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.pairing.code import (
    ALPHABET,
    Method,
    QrCode,
    TypedCode,
    check_url,
    parse_code,
    qr_text,
    typed_code,
    typed_text,
)
from node.services.pairing.errors import BadCode

SECRET = bytes(range(32))
FINGERPRINT = b"\xab" * 16
URL = "http://192.168.1.7:8411"


@given(st.binary(min_size=32, max_size=32))
def test_typed_round_trip(secret: bytes) -> None:
    text = typed_text(secret)
    assert len(text) == 9
    for spelled in (text, text.lower(), text.replace("-", ""), f"  {text} ", " ".join(text.lower())):
        assert parse_code(spelled) == typed_code(secret)
    assert typed_code(secret).method is Method.TYPED


def test_codes_are_different_and_use_the_whole_alphabet() -> None:
    """First boot: never a constant."""
    codes = {typed_text(os.urandom(32)) for _ in range(500)}
    assert len(codes) == 500
    assert set("".join(codes)) == {*ALPHABET, "-"}


def test_every_mistyped_symbol_and_every_swap_is_found() -> None:
    text = typed_text(SECRET).replace("-", "")
    for position, symbol in itertools.product(range(8), ALPHABET):
        if symbol != text[position]:
            with pytest.raises(BadCode, match="mistyped"):
                parse_code(text[:position] + symbol + text[position + 1 :])
    for first, second in itertools.combinations(range(8), 2):
        swapped = list(text)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        if "".join(swapped) != text:
            with pytest.raises(BadCode, match="mistyped"):
                parse_code("".join(swapped))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not 0"),
        ("ABCD-EFG", "not 7"),
        ("ABCD-EFGHJ", "not 9"),
        ("0BCD-EFGH", "symbol 1"),
        ("ABCD-EFG1", "symbol 8"),
        ("ABCD-EFG\u0662", "symbol 8"),
        ("\u00df" * 4, "not 4"),
        ("\u00df" * 8, "symbol 1"),
        ("WATTPACT-PAIR:2:x", "version"),
        ("wattpact-pair:1:x:y:", "version"),
        ("WATTPACT-PAIR:1:ab", "incomplete"),
        ("WATTPACT-PAIR:1:ab:cd:", "damaged"),
        ("WATTPACT-PAIR:1:zz:cd:", "damaged"),
    ],
)
def test_bad_codes(text: str, says: str) -> None:
    with pytest.raises(BadCode, match=says):
        parse_code(text)


def test_qr_round_trip() -> None:
    for url in (URL, "https://gateway.example/base/", "http://[fe80::1]:80", ""):
        found = parse_code(qr_text(SECRET, FINGERPRINT, url))
        assert found == QrCode(url, FINGERPRINT, SECRET)
        assert found.method is Method.QR


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_a_changed_qr_code_is_refused_or_another_code(position: int, char: str) -> None:
    text = qr_text(SECRET, FINGERPRINT, URL)
    position %= len(text)
    bent = text[:position] + char + text[position + 1 :]
    try:
        found = parse_code(bent)
    except BadCode:
        return
    assert isinstance(found, QrCode)
    assert bent.strip() == qr_text(found.secret, found.fingerprint, found.url), "one spelling only"


@given(st.text(max_size=300))
def test_any_text_is_a_code_or_a_bad_code(text: str) -> None:
    with suppress(BadCode):
        assert isinstance(parse_code(text), TypedCode | QrCode)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "javascript:alert(1)",
        "//host",
        "http://",
        "http://user@host",
        "http://user:pw@host",
        "http://host/#x",
        "http://host/?x=1",
        "http://host:99999",
        "http://host:x",
        "http://ho st",
        "http://host\n",
        "http://h\u00f6st",
        "http://[::1",
        "http://" + "h" * 200,
    ],
)
def test_addresses_in_a_code_are_plain(url: str) -> None:
    with pytest.raises(BadCode):
        check_url(url)
    with pytest.raises(BadCode):
        qr_text(SECRET, FINGERPRINT, url)


def test_secrets_are_not_in_text() -> None:
    typed, qr = typed_code(SECRET), QrCode(URL, FINGERPRINT, SECRET)
    assert typed.symbols not in repr(typed)
    assert SECRET.hex() not in repr(qr)
    assert repr(SECRET)[2:-1] not in repr(qr)


def test_a_typed_code_tells_nothing_of_the_qr_secret_and_the_other_way_round() -> None:
    assert typed_code(SECRET).password() != QrCode(URL, FINGERPRINT, SECRET).password()
    assert typed_text(SECRET).replace("-", "")[:7].encode() not in SECRET


def test_bad_codes_do_not_repeat_what_was_typed() -> None:
    with pytest.raises(BadCode) as caught:
        parse_code("SWRD-FSHX")
    assert "SWRD" not in str(caught.value)
