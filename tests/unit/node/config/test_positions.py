"""The scanner finds the same keys as the parser, wherever TOML lets them stand."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.config.positions import KeyPath, key_positions

TEXT = '''# comment with [brackets] and = signs
top = 1
"quo ted" = "a # no comment"   # comment
[a]
b.c = [1, [2, "x]"], {d = 3, e.f = 'y}'}]
long = """
[not.a.table]
k = 1 \\""" still inside """
lit = \'\'\'
x = 2\'\'\'\'
[[list]]
k = 1
[list.sub]
z = 2
[[list]]
  k = 2
'''


def paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    if isinstance(value, dict):
        found = {(*path, key) for key in value}
        return found.union(*(paths(item, (*path, key)) for key, item in value.items()))
    if isinstance(value, list):
        found = {(*path, index) for index in range(len(value))}
        return found.union(*(paths(item, (*path, index)) for index, item in enumerate(value)))
    return set()


def test_every_key_of_a_hard_document_has_its_position() -> None:
    positions = key_positions(TEXT)
    assert set(positions) == paths(tomllib.loads(TEXT))
    assert positions["top",] == (2, 1)
    assert positions["quo ted",] == (3, 1)
    assert positions["a",] == (4, 1)
    assert positions["a", "b", "c", 2, "e", "f"] == (5, 32)
    assert positions["list", 1, "k"] == (16, 3)


KEYS = st.text("abc-_", min_size=1, max_size=3)
VALUES = st.recursive(
    st.integers() | st.booleans() | st.sampled_from(['"#\\""', "'['", '"]}"', '"""a\n"" """', "'''x\n''''"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[ " + ",\n ".join(map(toml, value)) + " ]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    return str(value)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_it_agrees_with_the_parser(document: dict[str, dict[str, Any]]) -> None:
    text = "".join(
        f"[{section}]\n" + "".join(f"{key} = {toml(value)} # {key} = 0\n" for key, value in content.items())
        for section, content in document.items()
    )
    parsed = tomllib.loads(text)
    positions = key_positions(text)
    assert set(positions) == paths(parsed)
    lines = text.split("\n")
    for path, (line, column) in positions.items():
        if isinstance(path[-1], str) and len(path) > 1:
            assert lines[line - 1][column - 1 :].startswith(path[-1])
