"""A gateway's reset makes another device of it; nothing in its folder opens what it wrote (permissions.md 2)."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from pydantic import SecretStr
from sqlalchemy import MetaData, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from channels.envelope import EnvelopeHeader
from channels.errors import StoreKeyWrong
from channels.ggm import Cover
from channels.guard import FolderLock
from channels.highwater import HighWater
from channels.masters import Masters
from channels.stores.records import PendingReading, StoredEnvelope
from channels.stores.schema import METADATA as CHANNEL_TABLES
from channels.stores.sql import SqlStore
from keys import files
from keys.identity import Identity
from keys.messages import registry_domain
from node.app.commands import reset as reset_module
from node.app.commands.initialize import initialize
from node.app.commands.reset import reset_gateway
from node.app.core import Core, open_storage
from node.app.datadir import MNEMONIC, DataDir, open_identity
from node.app.streams.pairing import GatewayPairing
from node.cli import InitOptions, ResetOptions, ResetResult
from node.clock import ManualClock
from node.config import LoadedConfig, load_settings
from node.errors import Busy, Conflict, NeedsPerson, NodeUnreachable, NotFound, Refused
from node.services.pairing.code import parse_code
from node.storage.database import Database
from node.storage.drop import drop_tables
from node.storage.schema import METADATA as NODE_TABLES
from node.types import address_to_text
from tests.conformance.databases import postgres_server
from tests.support.raw_keys import raw_open
from tests.unit.channels.world import GENESIS, World, hashed, masters
from tests.unit.services.pairing.builders import DEADLINE, NONCE, NOW, OWNER, PLACE, home

PASSPHRASE = "correct horse battery staple"
SETTINGS = {"node.roles": ("gateway",), "chain.registry": "0x" + PLACE.registry.hex(), "chain.chain_id": PLACE.chain_id}


@dataclass(frozen=True)
class Old:
    """A gateway that has lived: its folder, an envelope that it wrote, and every secret that opened it."""

    folder: Path
    words: str
    envelope: bytes
    secrets: dict[str, bytes]


def loaded(folder: Path) -> LoadedConfig:
    return load_settings(folder / "wattpact.toml")


def opened(folder: Path) -> Identity:
    return open_identity(DataDir(folder), SecretStr(PASSPHRASE))[1]


def reset(folder: Path, **options: object) -> ResetResult:
    return reset_gateway(loaded(folder), ResetOptions(SecretStr(PASSPHRASE), **options))  # type: ignore[arg-type]


def core_of(folder: Path, storage: object) -> Core:
    settings, identity = loaded(folder).settings, opened(folder)
    keys = SimpleNamespace(identity=identity, sealing=identity.sealing_key("inbox"))
    chain = SimpleNamespace(domain=registry_domain(PLACE.chain_id, PLACE.registry))
    return cast(
        "Core",
        SimpleNamespace(
            settings=settings, registry=PLACE.registry, public_url="http://10.0.0.7:8750", storage=storage, keys=keys,
            chain=chain, clock=ManualClock(NOW), wake=lambda: None,
        ),
    )  # fmt: skip


async def live(folder: Path) -> Old:
    """What a running gateway leaves: a stream's masters, an envelope, readings that wait, marks, pairing state."""
    data = DataDir(folder)
    keystore, identity = open_identity(data, SecretStr(PASSPHRASE))
    world = World.start(readers=1)
    [sealed] = world.seal(1, b"4711 Wh")
    sid = world.writer.params.sid
    keystore.put(f"masters-{sid.hex()}", "masters", masters().to_bytes())
    header = EnvelopeHeader.decode(sealed)
    async with AsyncExitStack() as stack:
        storage = await open_storage(stack, loaded(folder).settings, data, identity, ManualClock(NOW))
        kept = StoredEnvelope(header.epoch, header.slot, header.inst, header.seq, hashed("envelope"), sealed)
        await storage.channels.append_envelopes(sid, [kept])
        await storage.channels.add_pending(sid, [PendingReading(GENESIS, GENESIS, 0, b"reading that waits")])
        await GatewayPairing(core_of(folder, storage)).new_code()
        await storage.replicas.update(storage.memory.log, [sid])
    HighWater(data.high_water).open(sid, fresh=True)
    (folder / "wattpact.db.1700000000").write_bytes(b"put aside by a rebuild")
    (folder / "api.json").write_text("{}")
    (folder / "notes.txt").write_text("the operator's own")
    words = keystore.get(MNEMONIC)
    secrets = {
        "words": words,
        "master": masters().to_bytes(),
        "tree": masters().tree,
        "epoch": masters().epoch_secret(header.epoch),
        "store": identity.secret("channel-store"),
        "log": identity.secret("private-log"),
        "device": identity.device().to_bytes(),
        "inbox": identity.sealing_key("inbox").to_bytes(),
    }
    return Old(folder, words.decode(), sealed, secrets)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Old:
    folder = tmp_path_factory.mktemp("lived") / "gateway"
    initialize(InitOptions(folder, SecretStr(PASSPHRASE), None, SETTINGS))
    config = folder / "wattpact.toml"
    config.write_text(config.read_text().replace("[node]\n", '[node]\npassphrase_file = "../passphrase"\n', 1))
    files.create_file(folder.parent / "passphrase", PASSPHRASE.encode())
    return asyncio.run(live(folder))


@pytest.fixture
def old(lived: Old, tmp_path: Path) -> Old:
    shutil.copytree(lived.folder.parent, tmp_path, dirs_exist_ok=True)
    return replace(lived, folder=tmp_path / "gateway")


def every_file(folder: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def spellings(secret: bytes) -> Iterator[bytes]:
    yield from (secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret)[:-2])


def windows(data: bytes) -> Iterator[bytes]:
    """Everything that could be a key of 32 bytes; files of the keystore hold bytes in hexadecimal."""
    for part in (bytes.fromhex(found.decode()) for found in re.findall(rb"(?:[0-9a-f]{2}){32,}", data)):
        yield from (part[start : start + 32] for start in range(len(part) - 31))


async def claimed(folder: Path) -> bytes:
    """A new household pairs with the gateway in a folder; the account of the device that it got."""
    async with AsyncExitStack() as stack:
        storage = await open_storage(
            stack, loaded(folder).settings, DataDir(folder), opened(folder), ManualClock(NOW)
        )  # fmt: skip
        gateway = GatewayPairing(core_of(folder, storage))
        assert (await gateway.view()).state == "unpaired"
        machine = home()
        begun = machine.begin(parse_code((await gateway.new_code()).code))
        greeted = machine.received_hello(begun.state, await gateway.answer("hello", begun.message, "10.0.0.9"))
        met = machine.received_confirm(greeted.state, await gateway.answer("confirm", greeted.message, "10.0.0.9"))
        message = machine.propose(met.raised().state, NONCE, DEADLINE)
        signed = machine.signed(met.state, message, await OWNER.sign_message(message, PLACE.domain()))
        done = machine.received_finish(signed.state, await gateway.answer("finish", signed.message, "10.0.0.9"))
        pairing = done.raised().state.pairing
        assert pairing is not None
        return pairing.device.account


async def test_afterwards_nothing_in_the_folder_opens_what_it_wrote(old: Old) -> None:
    """Raw keys: what stood there opened the envelope; what stands there now does not, whatever is tried as a key."""
    keystore = open_identity(DataDir(old.folder), SecretStr(PASSPHRASE))[0]
    [name] = [name for name in keystore.names() if name.startswith("masters-")]
    stolen = Masters.from_bytes(keystore.get(name))
    assert raw_open(set(), {-1: list(stolen.epochs)}, old.envelope) is not None
    former = opened(old.folder)
    made = await asyncio.to_thread(reset, old.folder)
    everything = b"\x00".join(every_file(old.folder))
    for what, secret in old.secrets.items():
        assert not any(spelling in everything for spelling in spellings(secret)), what
    keystore, identity = open_identity(DataDir(old.folder), SecretStr(PASSPHRASE))
    assert keystore.names() == (MNEMONIC,)
    found = {window for data in every_file(DataDir(old.folder).keystore) for window in windows(data)}
    found |= {keystore.get(MNEMONIC)[:32], identity.secret("channel-store"), identity.device().to_bytes()}
    assert raw_open(found, {-1: [node for key in found for node in Cover.whole(key).nodes]}, old.envelope) is None
    assert identity.device().address != former.device().address
    assert made.former["device"] == address_to_text(former.device().address)
    assert made.addresses["device"] == address_to_text(identity.device().address)


async def test_it_says_what_went_and_what_stays(old: Old) -> None:
    made = await asyncio.to_thread(reset, old.folder)
    gone = ["wattpact.db", "channels.db", "replica.db", "wattpact.db.1700000000", "keystore/mnemonic.key", "api.json"]
    assert set(gone) < set(made.erased)
    assert made.left == ("notes.txt", "wattpact.toml")
    assert {path.name for path in old.folder.iterdir()} == {"keystore", "lock", "notes.txt", "wattpact.toml"}
    assert any("unpair" in each for each in made.stays)
    assert any("copies" in each for each in made.stays)
    assert made.mnemonic is not None
    assert made.mnemonic.get_secret_value() not in (old.words, "")


def test_every_place_that_a_data_folder_has_is_erased(old: Old) -> None:
    """Also one that is added later: whoever adds it has to name it to the reset."""
    data = DataDir(old.folder)
    names = [name for name, value in vars(DataDir).items() if isinstance(value, property)]
    places = [place for name in names if isinstance(place := getattr(data, name), Path)]
    assert data.keystore in places
    for place in places:
        if place != data.reset_marker:
            place.mkdir(mode=0o700, exist_ok=True)
            (place / "something").write_bytes(b"to be erased")
    reset(old.folder)
    assert [place for place in places if place.exists()] == [data.keystore]
    assert not (data.keystore / "something").exists()


async def test_a_new_household_can_claim_it(old: Old) -> None:
    former = opened(old.folder).device().address
    await asyncio.to_thread(reset, old.folder)
    device = await claimed(old.folder)
    assert device == opened(old.folder).device().address != former


async def test_the_old_store_opens_with_nothing_new(old: Old, tmp_path: Path) -> None:
    """A copy of the databases that somebody kept: the new keys do not open it."""
    shutil.copytree(old.folder, tmp_path / "copy")
    await asyncio.to_thread(reset, old.folder)
    for path in (tmp_path / "copy").glob("channels.db*"):
        shutil.copy(path, old.folder / path.name)
    async with AsyncExitStack() as stack:
        with pytest.raises(StoreKeyWrong):
            await open_storage(
                stack, loaded(old.folder).settings, DataDir(old.folder), opened(old.folder), ManualClock(NOW)
            )  # fmt: skip


async def test_a_database_on_another_disk_goes_as_well(old: Old, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    (old.folder / "replica.db").rename(other)
    config = old.folder / "wattpact.toml"
    line = f'[storage]\nreplicas = ["sqlite+aiosqlite:///{other}"]\n'
    config.write_text(config.read_text().replace("[storage]\n", line, 1))
    made = await asyncio.to_thread(reset, old.folder)
    assert not other.exists()
    assert str(other) in made.erased


FEW = (1, 2, 3, 6, 15)


@pytest.mark.parametrize("flushes", [FEW, pytest.param(range(1, 1_000), marks=pytest.mark.long)])
def test_killed_at_any_point_it_is_the_old_gateway_or_is_completed_by_the_same_command(
    old: Old, tmp_path: Path, flushes: Sequence[int]
) -> None:
    """kill -9 at a flush to disk: until the marker stands nothing is lost, from then on nothing can be used
    until it is done, and the next run makes the same of it as one that was not killed."""
    words, killed = tmp_path / "words", 0
    for flush in flushes:
        folder = tmp_path / f"killed-{flush}"
        shutil.copytree(old.folder, folder)
        child = os.fork()
        if child == 0:
            _die_at(flush)
            try:
                reset(folder, mnemonic_file=words)
            finally:
                os._exit(0)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            killed += 1
            if DataDir(folder).reset_marker.exists():
                with pytest.raises(NeedsPerson, match="not finished"):
                    opened(folder)
            elif not words.exists():
                assert opened(folder).device().address == opened(old.folder).device().address
        if DataDir(folder).reset_marker.exists() or not words.exists():
            reset(folder, mnemonic_file=words)
        everything = b"\x00".join(every_file(folder))
        assert not any(spelling in everything for secret in old.secrets.values() for spelling in spellings(secret))
        assert opened(folder).device().address != opened(old.folder).device().address
        assert Identity.from_mnemonic(words.read_text().strip()).device().address == opened(folder).device().address
        words.unlink()
        if not os.WIFSIGNALED(status):
            break
    assert killed >= len(FEW)


def _die_at(flush: int) -> None:
    """In a child: the process is killed by the system at its `flush`th flush."""
    real, left = os.fsync, [flush]

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor)

    os.fsync = fsync  # type: ignore[assignment]


def test_only_a_stopped_gateway_is_reset(old: Old) -> None:
    with FolderLock(old.folder), pytest.raises(Busy, match="in use"):
        reset(old.folder)
    assert opened(old.folder).device().address


def test_a_home_is_never_reset(tmp_path: Path) -> None:
    """Its keys own streams and money."""
    for roles in (("home",), ("gateway", "home")):
        folder = tmp_path / "-".join(roles)
        initialize(InitOptions(folder, SecretStr(PASSPHRASE), None, {**SETTINGS, "node.roles": roles}))
        with pytest.raises(Refused, match="not a gateway's alone"):
            reset(folder)
        assert opened(folder)


def test_without_a_gateway_there_is_nothing_to_reset(old: Old, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(old.folder / "wattpact.toml", empty)
    with pytest.raises(NotFound):
        reset(empty)


def test_a_lost_passphrase_does_not_keep_keys_alive(old: Old, tmp_path: Path) -> None:
    (tmp_path / "passphrase").unlink()
    files.create_file(tmp_path / "passphrase", b"another one")
    made = reset_gateway(loaded(old.folder), ResetOptions(SecretStr("another one")))
    assert made.former == {}
    assert open_identity(DataDir(old.folder), SecretStr("another one"))[0].names() == (MNEMONIC,)


def test_the_words_go_into_no_file_that_is_there(old: Old) -> None:
    with pytest.raises(Conflict, match="exists"):
        reset(old.folder, mnemonic_file=old.folder / "notes.txt")
    assert opened(old.folder)
    DataDir(old.folder).reset_marker.write_text("{}")
    with pytest.raises(Conflict, match="reset"):
        initialize(InitOptions(old.folder, SecretStr(PASSPHRASE), None, SETTINGS))


def stored_at(old: Old, url: str) -> None:
    config = old.folder / "wattpact.toml"
    config.write_text(re.sub(r"\[storage\]\n(url = .*\n)?", f'[storage]\nurl = "{url}"\n', config.read_text(), count=1))


def test_a_database_that_does_not_answer_is_named_and_the_keys_are_gone_first(old: Old) -> None:
    stored_at(old, "postgresql+asyncpg://node@127.0.0.1:1/node")
    with pytest.raises(NodeUnreachable, match="keys are destroyed already"):
        reset(old.folder)
    assert not DataDir(old.folder).keystore.exists()
    with pytest.raises(NeedsPerson, match="not finished"):
        opened(old.folder)
    stored_at(old, f"sqlite+aiosqlite:///{old.folder / 'wattpact.db'}")
    assert reset(old.folder).former == {}
    assert opened(old.folder)


async def test_a_replica_in_another_nodes_database_takes_nothing_of_that_node_along(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home's journal is not the gateway's to drop. What the server is told is carried out on a database here."""
    here = f"sqlite+aiosqlite:///{tmp_path / 'home.db'}"
    await (await Database.open(here)).close()
    await (await SqlStore.open(here, b"k" * 32)).close()
    before = await tables_of(here)

    async def dropped(url: str, tables: Sequence[MetaData]) -> None:
        assert url == "postgresql+asyncpg://node@127.0.0.1:1/home"
        await drop_tables(here, tables)

    monkeypatch.setattr(reset_module, "drop_tables", dropped)
    config = old.folder / "wattpact.toml"
    line = '[storage]\nreplicas = ["postgresql+asyncpg://node@127.0.0.1:1/home"]\n'
    config.write_text(config.read_text().replace("[storage]\n", line, 1))
    await asyncio.to_thread(reset, old.folder)
    left = await tables_of(here)
    assert before - left == set(CHANNEL_TABLES.tables)
    assert left > set(NODE_TABLES.tables)
    assert "alembic_version" in left


async def test_of_a_nodes_own_database_its_tables_and_their_number_go(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not a channel store that stands there: it is another node's."""
    here = f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"
    await (await Database.open(here)).close()
    await (await SqlStore.open(here, b"k" * 32)).close()
    monkeypatch.setattr(reset_module, "drop_tables", lambda _, tables: drop_tables(here, tables))
    stored_at(old, "postgresql+asyncpg://node@127.0.0.1:1/node")
    await asyncio.to_thread(reset, old.folder)
    assert await tables_of(here) == set(CHANNEL_TABLES.tables)


async def tables_of(url: str) -> set[str]:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda found: inspect(found).get_table_names())
    await engine.dispose()
    return set(names)


@pytest.mark.long
async def test_a_database_on_a_server_is_emptied_of_what_is_ours() -> None:
    with postgres_server() as url:
        database = await Database.open(url)
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE of_others (number INT)"))
        await database.close()
        await (await SqlStore.open(url, b"k" * 32)).close()
        await drop_tables(url, (NODE_TABLES, CHANNEL_TABLES))
        assert await tables_of(url) == {"of_others"}
        await (await Database.open(url)).close()
