"""channels.md 6: frozen vectors, made by the product and checked by a verifier that shares no code with it."""

from __future__ import annotations

import ast
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from channels.reader import Reader
from keys.sealing import SealingKey
from tests import independent_verifier
from tests.unit.channels.world import Registry, params
from tests.vectors import make_ckt1

FROZEN: dict[str, Any] = json.loads(make_ckt1.TARGET.read_text(encoding="utf-8"))


def test_the_independent_verifier_accepts_the_frozen_vectors() -> None:
    assert independent_verifier.verify(FROZEN) == [
        "ggm",
        "one",
        "two",
        "again",
        "grow",
        "welcome",
        "stream",
        "two signatures",
    ]


def test_the_product_still_makes_the_frozen_vectors() -> None:
    assert make_ckt1.stable(make_ckt1.vectors()) == make_ckt1.stable(FROZEN)


def test_the_product_opens_the_frozen_welcome() -> None:
    welcome = FROZEN["stream"]["welcome"]
    reader = Reader(params(), bytes.fromhex(welcome["grant_id"]))
    registry = Registry({2: bytes.fromhex(welcome["commit_hash"])})
    key = SealingKey.from_bytes(bytes.fromhex(welcome["seed"]))
    reader.receive_capsule(bytes.fromhex(welcome["data"]), key, registry)
    envelopes = [bytes.fromhex(envelope["data"]) for envelope in FROZEN["stream"]["envelopes"]]
    assert [reading.plaintext for reading in reader.open(envelopes).readings] == [b"slot one", b"first", b"second", b""]


def test_the_verifier_shares_no_code_with_the_product() -> None:
    tree = ast.parse(Path(independent_verifier.__file__).read_text(encoding="utf-8"))
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in found} & {"channels", "keys", "node", "contracts", "tests"}


@pytest.mark.parametrize(
    "path",
    [
        ("ggm", "leaves", 2, "key"),
        ("ggm", "covers", 3, "nodes", 1, 2),
        ("commit", "commits", "one", "data"),
        ("commit", "commits", "two", "epoch_secret"),
        ("stream", "welcome", "path_keys", 0),
        ("stream", "envelopes", 1, "data"),
        ("stream", "checkpoints", 0, "data"),
        ("two_signatures", "commit"),
        ("two_signatures", "checkpoint"),
        ("two_signatures", "stream_key_hash"),
    ],
)
def test_the_verifier_notices_a_changed_vector(path: tuple[Any, ...]) -> None:
    """A verifier that accepts everything would prove nothing."""
    changed = copy.deepcopy(FROZEN)
    place = changed
    for step in path[:-1]:
        place = place[step]
    text = place[path[-1]]
    place[path[-1]] = (
        text[:-140] + ("1" if text[-140] == "0" else "0") + text[-139:]
        if len(text) > 140
        else (("1" if text[0] == "0" else "0") + text[1:])
    )
    with pytest.raises(Exception):  # noqa: B017, PT011 - any refusal will do
        independent_verifier.verify(changed)
