"""Writes the first inputs of every corpus: real messages of the product, from which a fuzzer goes on.

python -m tests.fuzz.make_corpora
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from channels.asks import Ask, AskKind
from channels.capsule import Membership, _encode_plain
from channels.codec import ByteWriter
from channels.ggm import Cover
from channels.history import Covers
from channels.reader_state import snapshot_reader
from channels.readings import Measurement, encode_batch
from channels.twin import Seen, TwinEntry
from keys.header import KdfCost
from keys.keystore import Keystore
from keys.messages import typed_data
from keys.parcel import _canonical, pack
from tests.fuzz.targets import CORPORA, KEY, NOW, begun_reader, entry_of_a_fixed_keystore
from tests.unit.channels.world import World, hashed, masters
from tests.unit.keys.builders import DOMAIN, MESSAGES, identity
from tests.unit.node.test_erasure_receipt import signed
from tests.unit.node.test_past_receipt import signed as past_signed
from tests.unit.services.meter.samples import telegram


def seeds() -> dict[str, list[bytes]]:
    """Messages by target."""
    world = World.start(0, readers=3)
    leaf, reader = world.join(1)
    world.commit(2, removed=[1])
    double = World.start(0, readers=1, two_signatures=True)
    envelopes = world.seal(2, b"one", b"two")
    reader.open(envelopes)
    checkpoints = [*world.writer.shutdown(), *double.writer.close_slot(0)]
    member = world.members[leaf]
    capsules = [
        world.writer.welcome(member, world.keys[leaf].public_bytes),
        world.writer.history(hashed("grant"), KEY.public_bytes, (0, 1), 2),
    ]
    path = world.writer.state.tree.path_keys(leaf)
    nodes = Cover.whole(bytes(32)).interval(3, 9)
    given = Covers(nodes, ((4, nodes),))
    membership = Membership(leaf, 3, path, bytes(32))
    plain = ByteWriter()
    given.write(plain)
    batch = [Measurement(NOW + n, NOW + n, 0, {"1-0:1.8.1": 5 + n, "0-n:24.2.1": 7}) for n in range(3)]
    interval = [Measurement(NOW, NOW, 1, {"1-0:1.29.0": 250}, 900, 990, {"1-0:1.29.0": 0})]
    asks = [
        Ask(AskKind.ENVELOPES, hashed("sid"), hashed("g"), hashed("r"), NOW, 1, 9),
        Ask(AskKind.RESYNC, hashed("sid"), hashed("g"), hashed("r"), NOW, 3, 0, KEY.public_bytes),
    ]
    first = TwinEntry(hashed("t"), bytes(20), bytes(16), 1, bytes(32), NOW, (), bytes(20), bytes(65))
    second = replace(first, seq=2, previous=hashed("e"), seen=(Seen(b"\x01" * 20, 1, hashed("s")),))
    with tempfile.TemporaryDirectory() as folder:
        Keystore.create(Path(folder) / "keys", "x", KdfCost(1, 64, 1))
        header = (Path(folder) / "keys" / "keystore.json").read_bytes()
    _, entry = entry_of_a_fixed_keystore()
    sealed = asyncio.run(
        pack(identity().wallet(), KEY.public_bytes, "test", {"a": [1, "b"]}, chain_id=1, now=NOW, lifetime=60)
    )
    return {
        "ask": [item.encode(bytes(65)) for item in asks],
        "capsule": capsules,
        "checkpoint": checkpoints,
        "commit": [*world.commits, double.commits[0]],
        "covers": [plain.done()],
        "eip712": [json.dumps(typed_data(message, DOMAIN)).encode() for message in MESSAGES],
        "envelope": envelopes,
        "keystore_entry": [entry.read_bytes()],
        "keystore_header": [header],
        "open_envelope": begun_reader()[0].seal(1, b"two"),
        "p1": [telegram(), b"/XXX5\r\n\r\n!0000\r\n"],
        "parcel": [sealed, b"\x00\x01" + _canonical({"a": [1, None, True, {"b": "c"}]})],
        "past_receipt": [json.dumps(asyncio.run(past_signed())).encode()],
        "receipt": [json.dumps(asyncio.run(signed())).encode()],
        "readings": [encode_batch(batch), encode_batch(interval)],
        "replay": [b"\x01" + world.commits[0], b"\x02" + envelopes[0]],
        "stored_state": [
            b"\x00" + world.writer.position.to_bytes(),
            b"\x01" + masters().to_bytes(),
            b"\x01" + masters().erased(2, hashed("new T"), hashed("sid"), 5).to_bytes(),
            b"\x02" + World.start(0).writer.snapshot(),
            b"\x03" + snapshot_reader(reader),
        ],
        "telegram": [telegram()[:-6]],
        "topic": [b"wattpact/v1/" + b"ab" * 32 + b"/commits", b"wattpact/v1/" + b"ab" * 32 + b"/capsule/" + b"cd" * 32],
        "twin_entry": [first.encode(), second.encode()],
        "welcome": [b"\x01" + _encode_plain(membership, given), b"\x00" + plain.done()],
    }


def main() -> None:
    for name, inputs in seeds().items():
        folder = CORPORA / name
        folder.mkdir(parents=True, exist_ok=True)
        for data in inputs:
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()
