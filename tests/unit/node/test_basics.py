"""Errors, values and clocks that everything else stands on."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import errors
from node.clock import Clock, ManualClock, SystemClock
from node.errors import ExitCode, NodeError, TooManyRequests
from node.types import address_from_text, address_to_text, from_hex, to_hex

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, NodeError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_the_tree_in_the_docstring_is_the_tree(kind: type[NodeError]) -> None:
    """style.md 7: code, status and exit code are stable and written down."""
    line = next(line for line in (errors.__doc__ or "").splitlines() if re.search(rf"\b{kind.__name__}\b", line))
    assert re.fullmatch(r"[a-z_]+", kind.code)
    if "exit" in line:
        assert f" {kind.code} " in line
        assert f" {kind.status} " in line
        assert f"exit {int(kind.exit_code)}" in line
    assert kind.default_remedy.endswith(".")


def test_exit_codes_are_those_of_the_architecture() -> None:
    """architecture.md: 0 ok, 1 failed, 2 usage, 3 config, 4 not reachable, 5 refused, 6 not found, 7 busy, 8 person."""
    assert [int(code) for code in ExitCode] == list(range(9))
    assert errors.ConfigError.exit_code == 3
    assert errors.ChainUnreachable.exit_code == 4
    assert errors.Refused.exit_code == 5
    assert errors.NotFound.exit_code == 6
    assert errors.Busy.exit_code == 7
    assert errors.NeedsPerson.exit_code == 8


def test_an_error_carries_sentence_remedy_and_field() -> None:
    error = errors.InvalidInput("No.", field="a.b")
    assert (str(error), error.field, error.remedy) == ("No.", "a.b", errors.InvalidInput.default_remedy)
    assert errors.InvalidInput("No.", remedy="").remedy == ""
    assert TooManyRequests("No.", retry_after=3).retry_after == 3


@given(st.binary(max_size=80))
def test_hex_and_back(value: bytes) -> None:
    assert from_hex(to_hex(value), len(value)) == value


@pytest.mark.parametrize("text", ["", "00", "0x0", "0x 00", "0x00\n", "0xzz", "0x+1", "x00", "0x٠٠"])
def test_other_spellings_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        from_hex(text, 1)
    assert "zz" not in str(caught.value)


def test_addresses_carry_their_checksum() -> None:
    """EIP-55 examples."""
    text = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert address_to_text(address_from_text(text)) == text
    assert address_from_text(text.lower()) == address_from_text("0x" + text[2:].upper())
    with pytest.raises(ValueError, match="checksum"):
        address_from_text(text.replace("5aA", "5Aa"))
    with pytest.raises(ValueError, match="20 bytes"):
        address_from_text("0x" + "11" * 32)
    with pytest.raises(ValueError, match="20"):
        address_to_text(b"")


def test_clocks() -> None:
    real: Clock = SystemClock()
    assert isinstance(real.now(), int)
    assert real.monotonic() <= real.monotonic()
    clock = ManualClock(100)
    clock.advance(5)
    clock.set(50)
    assert (clock.now(), clock.monotonic()) == (50, 5.0)
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)
