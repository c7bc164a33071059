"""Nested JSON must end in an error of ours: a text of brackets once ended the process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.nesting import nesting

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((depth(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth(item) for item in value), default=0)
    return 0


@given(JSON)
def test_agrees_with_the_parsed_value(value: Any) -> None:
    assert nesting(json.dumps(value).encode()) == depth(value)
    assert nesting(json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")) == depth(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", 0),
        (b"[[[", 3),
        (b'"[[["', 0),
        (b'"\\"[[["', 0),
        (b'"\\\\"[[', 2),
        (b'["a]]]]",{"[":[1]}]', 3),
        (b"]]]]]][", 0),
        (b'"' + b'\\"' * 500_000, 0),
        (b'"' * 1_000_001, 0),
        (b"[" * 1_000_000, 1_000_000),
    ],
)
def test_brackets_in_strings_and_hostile_texts(text: bytes, expected: int) -> None:
    assert nesting(text) == expected


def test_importing_keys_leaves_the_ordinary_recursion_limit() -> None:
    """Whatever was imported before: the limit of the process decides between an error and a crash."""
    program = "import sys, {0}; import keys.messages, keys.signers; print(sys.getrecursionlimit())"
    for first in ("sys", "eth_account", "web3"):
        done = subprocess.run([sys.executable, "-c", program.format(first)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "1000"


def test_a_node_loads_the_library_that_raises_the_limit_only_by_the_module_that_puts_it_back() -> None:
    program = """
import sys, node.app.daemon
assert not {'eth_account', 'py_ecc', 'web3'} & set(sys.modules)
import keys.ethereum
print(sys.getrecursionlimit(), 'py_ecc' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1000 True"


def test_a_text_of_brackets_is_an_error_and_not_a_crash() -> None:
    program = """
import keys.messages, json
try:
    json.loads('[' * 1_000_000)
except (RecursionError, ValueError) as error:
    print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "RecursionError"
