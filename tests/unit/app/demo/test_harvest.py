"""The thief takes what was there at any look, also what was deleted later."""

from __future__ import annotations

import asyncio
from pathlib import Path

from channels.reader_state import snapshot_reader
from channels.stores.records import OpenRecord
from channels.stores.sql import SqlStore
from keys.identity import Identity
from keys.keystore import MNEMONIC, Keystore
from keys.phrase import generate_mnemonic
from keys.sealing import SealingKey
from node.app.demo.keyharvest import KeyHarvest, reader_secrets
from tests.unit.app.demo.world import World


async def played() -> World:
    return await World().play()


def test_keys_are_taken_from_keystore_and_store_at_every_look(tmp_path: Path) -> None:
    world = asyncio.run(played())
    node = tmp_path / "node"
    node.mkdir()
    keystore = Keystore.create(node / "keystore", "some words")
    phrase = generate_mnemonic()
    keystore.put("mnemonic", MNEMONIC, phrase.encode())
    sealing = SealingKey.generate()
    keystore.put("reader-1", "sealing", sealing.to_bytes())
    harvest = KeyHarvest("A", node, "some words", tmp_path / "copies")
    harvest.look()
    keystore.delete("reader-1")

    reader = world.parties["C"].reader
    assert reader is not None
    state = snapshot_reader(reader)

    async def keep() -> None:
        key = Identity.from_mnemonic(phrase).secret("channel-store")
        store = await SqlStore.open(f"sqlite+aiosqlite:///{node / 'channels.db'}", key)
        await store.record_open(world.sid, b"\x07" * 32, OpenRecord(state))
        await store.close()

    asyncio.run(keep())
    harvest.look()
    harvest.pin()
    taken = harvest.taken()
    assert sealing.to_bytes() in taken.seeds, "a key that was deleted after the first look"
    assert taken.material == {state}
    assert reader_secrets(world.sid, state) <= taken.secrets
    assert taken.looks == 2


def test_a_reader_s_secrets_are_its_path_and_its_covers() -> None:
    world = asyncio.run(played())
    reader = world.parties["C"].reader
    assert reader is not None
    assert reader.follower is not None
    found = reader_secrets(world.sid, snapshot_reader(reader))
    covers = reader.keyring.covers()
    nodes = {node.key for node in covers.epochs} | {node.key for _, part in covers.slots for node in part}
    assert found == nodes | set(reader.follower.path.keys)
