"""Times as people type and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli.output import plain, short
from node.cli.times import parse_time, show_age, show_time
from node.errors import UsageError

NOW = 1_790_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", NOW), ("-2d", NOW - 172_800), ("+90m", NOW + 5_400), ("-1w", NOW - 604_800), ("+3h", NOW + 10_800),
        ("1767225600", 1_767_225_600), ("2026-01-01", 1_767_225_600), ("2026-01-01T01:00+01:00", 1_767_225_600),
        ("2026-01-01T00:00:00Z", 1_767_225_600),
    ],
)  # fmt: skip
def test_known_times(text: str, seconds: int) -> None:
    assert parse_time(text, NOW, "--from") == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "2d", "-2y", "12", "1960-01-01", "9999999999999", "-99999999d", "٣٣٣٣٣٣٣"]
)
def test_other_words_are_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="--from"):
        parse_time(text, NOW, "--from")


@given(st.integers(0, 2**40))
def test_times_can_always_be_shown(seconds: int) -> None:
    assert show_time(seconds)


def test_showing() -> None:
    assert show_time(1_767_225_600) == "2026-01-01 00:00:00Z"
    assert show_time(2**40 - 1) == "open"
    assert show_time(None) == ""
    assert [show_age(n) for n in (5, 600, 7_300, 200_000)] == ["5 s", "10 min", "2 h", "2 d"]
    assert short("0x" + "ab" * 32) == "0xabababab…abab"
    assert short("req-1") == "req-1"


@given(st.text())
def test_plain_text_has_no_control_characters(text: str) -> None:
    assert all(c.isprintable() or c.isspace() for c in plain(text))
    assert "\x1b" not in plain(text)
    assert "\n" not in plain(text)
