"""Writes tests/vectors/ckt1.json: the frozen answers of CKT-1 (channels.md 6).

Run it only to add vectors: what is frozen must never change, and tests/unit/channels/test_vectors.py says so when
it does. The file is checked by tests/independent_verifier.py, which shares no code with the product.

    python -m tests.vectors.make_ckt1
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from channels.checkpoint import Checkpoint
from channels.commit import Commit
from channels.envelope import EnvelopeHeader
from channels.ggm import Cover
from channels.slots import OPEN_SLOT
from channels.writer import Changes, Join
from keys.messages import digest
from keys.stream_key import ML_DSA_65_SIGNATURE_SIZE
from tests.unit.channels.world import ADDRESS, DOMAIN, STREAM_KEY, TWO_KEYS, World, hashed, masters, sign_commit

TARGET = Path(__file__).with_name("ckt1.json")


def tree_vectors() -> dict[str, Any]:
    root = hashed("vector root")
    cover = Cover.whole(root)
    intervals = [(0, 1), (1, 64), (5, 6), (100, 35_140), (2**31 - 3, 2**31 + 5), (2**32 - 7, 2**32)]
    return {
        "root": root.hex(),
        "leaves": [{"leaf": leaf, "key": cover.leaf(leaf).hex()} for leaf in (0, 1, 2**31, 2**32 - 1)],
        "covers": [
            {
                "first": first,
                "end": end,
                "nodes": [[node.level, node.index, node.key.hex()] for node in cover.interval(first, end)],
            }
            for first, end in intervals
        ],
    }


def commit_vectors() -> dict[str, Any]:
    """N = 5; k = 1 and k = 2 from the same state, and a growth."""
    world = World.start(0, readers=4)
    tree = world.writer.state.tree
    keys = {
        f"{level},{index}": key.hex()
        for level in range(tree.depth + 1)
        for index in range(1 << (tree.depth - level))
        if (key := tree.key(level, index)) is not None
    }
    prepared = {
        "one": world.prepare(2, removed=[3]),
        "two": world.prepare(2, removed=[1, 4]),
        "again": world.writer.prepare(Changes(2, 7, removed=(3,), added=(Join(0, OPEN_SLOT, 3),))),
        "grow": world.prepare(2, joins=[Join(2, OPEN_SLOT)] * 4),
    }
    return {
        "masters": {"M": hashed("masters", "M").hex(), "T": hashed("masters", "T").hex()},
        "sid": hashed("sid").hex(),
        "writer": ADDRESS.hex(),
        "chain_id": DOMAIN.chain_id,
        "registry": (DOMAIN.verifying_contract or b"").hex(),
        "first": world.commits[0].hex(),
        "depth": tree.depth,
        "tree_keys": keys,
        "commits": {
            name: {
                "data": (commit.unsigned + sign_commit(commit.message)).hex(),
                "commit_hash": commit.commit_hash.hex(),
                "eip712_digest": digest(commit.message, DOMAIN).hex(),
                "epoch_secret": masters().epoch_secret(commit.epoch).hex(),
            }
            for name, commit in prepared.items()
        },
    }


def stream_vectors() -> dict[str, Any]:
    """A Welcome with its plaintext, envelopes and checkpoints of two slots."""
    world = World.start(0)
    world.seal(0, b"before the grant")
    world.seal(1, b"slot one")
    [leaf] = world.commit(2, joins=[Join(1, OPEN_SLOT)])
    member, key = world.members[leaf], world.keys[leaf]
    capsule = world.writer.welcome(member, key.public_bytes)
    world.seal(2, b"first", b"second")
    world.seal(3, b"")
    world.checkpoints.extend(world.writer.shutdown())
    return {
        "stream_public": STREAM_KEY.public_bytes.hex(),
        "welcome": {
            "data": capsule.hex(),
            "seed": key.to_bytes().hex(),
            "grant_id": member.grant_id.hex(),
            "reader_key_hash": member.reader_key_hash.hex(),
            "commit_hash": Commit.hash_of(world.commits[-1]).hex(),
            "leaf": leaf,
            "epoch": 2,
            "path_keys": [key.hex() for key in world.writer.state.tree.path_keys(leaf)],
            "epoch_secret": masters().epoch_secret(2).hex(),
        },
        "envelopes": [
            {"data": data.hex(), "slot": EnvelopeHeader.decode(data).slot, "plaintext": text.hex()}
            for data, text in zip(
                world.envelopes, [b"before the grant", b"slot one", b"first", b"second", b""], strict=True
            )
        ],
        "checkpoints": [{"data": data.hex(), "count": Checkpoint.decode(data).count} for data in world.checkpoints],
    }


def two_signature_vectors() -> dict[str, Any]:
    """A commit and a checkpoint of a stream whose key has an ML-DSA-65 half (suite 2)."""
    world = World.start(0, two_signatures=True)
    world.seal(0, b"one")
    [checkpoint] = world.writer.shutdown()
    return {
        "stream_public": TWO_KEYS.public_bytes.hex(),
        "stream_key_hash": TWO_KEYS.key_hash().hex(),
        "commit": world.commits[0].hex(),
        "checkpoint": checkpoint.hex(),
    }


def vectors() -> dict[str, Any]:
    return {
        "source": "tests/vectors/make_ckt1.py",
        "version": 1,
        "ggm": tree_vectors(),
        "commit": commit_vectors(),
        "stream": stream_vectors(),
        "two_signatures": two_signature_vectors(),
    }


def stable(document: dict[str, Any]) -> dict[str, Any]:
    """Without what is drawn anew each time, so that only its meaning is frozen.

    That is HPKE's ephemeral key in the Welcome, and the salt of ML-DSA signatures.
    """
    copy: dict[str, Any] = json.loads(json.dumps(document))
    del copy["stream"]["welcome"]["data"]
    for name in ("commit", "checkpoint"):
        copy["two_signatures"][name] = copy["two_signatures"][name][: -2 * ML_DSA_65_SIGNATURE_SIZE]
    return copy


if __name__ == "__main__":
    TARGET.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="utf-8")
    print(f"wrote {TARGET.name}")
