"""The encrypted keystore: created once, whole or not at all, and clear about what is wrong with a file."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from eth_account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys.errors import (
    EntryExists,
    EntryMissing,
    EntryName,
    KeysError,
    KeystoreClosed,
    KeystoreDamaged,
    KeystoreError,
    KeystoreExists,
    KeystoreMissing,
    SignerError,
    UnknownVersion,
    UnsafePermissions,
    WrongPassphrase,
)
from keys.files import create_file, read_file
from keys.keystore import MAX_SECRET, KdfCost, Keystore
from tests.unit.keys.builders import CHEAP, identity

PASSPHRASE = "correct horse"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def keystore(folder: Path) -> Keystore:
    return Keystore.create(folder, PASSPHRASE, CHEAP)


def change(path: Path, **fields: Any) -> None:
    document = json.loads(path.read_text())
    document.update(fields)
    path.write_text(json.dumps(document))


def header(folder: Path, kdf: dict[str, Any] | None = None, **fields: Any) -> None:
    """Change the header as somebody would who also mends the checksum."""
    path = folder / "keystore.json"
    document = json.loads(path.read_text())
    document.update(fields)
    if kdf is not None:
        document["kdf"].update(kdf)
    body = {name: value for name, value in document.items() if name != "sum"}
    document["sum"] = hashlib.sha256(rfc8785.dumps(body)).hexdigest()
    path.write_text(json.dumps(document))


def test_round_trip(folder: Path, keystore: Keystore) -> None:
    assert keystore.names() == ()
    keystore.put("main", "wallet", identity().wallet().to_bytes())
    keystore.put("stream-m", "secret", b"\x01" * 32)
    again = Keystore.open(folder, PASSPHRASE)
    assert again.names() == ("main", "stream-m")
    assert again.get("stream-m") == b"\x01" * 32
    assert (again.kind("main"), again.kind("stream-m")) == ("wallet", "secret")


def test_default_cost_is_the_second_option_of_rfc_9106() -> None:
    assert KdfCost() == KdfCost(time_cost=3, memory_kib=64 * 1024, lanes=4)


def test_nothing_is_readable_by_others(folder: Path, keystore: Keystore) -> None:
    old = os.umask(0)
    try:
        keystore.put("a", "secret", b"x")
        other = Keystore.create(folder.parent / "other" / "deep", PASSPHRASE, CHEAP)
        other.put("a", "secret", b"x")
    finally:
        os.umask(old)
    for place in (folder, folder.parent / "other" / "deep"):
        assert place.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}


def test_secrets_are_not_in_the_files(folder: Path, keystore: Keystore) -> None:
    keystore.put("a", "secret", b"swordfish-swordfish")
    for path in folder.iterdir():
        assert b"swordfish" not in path.read_bytes()
        assert b"swordfish".hex().encode() not in path.read_bytes()


def test_entries_are_written_once(keystore: Keystore) -> None:
    keystore.put("a", "secret", b"first")
    with pytest.raises(EntryExists, match=r"a\.key.*delete it first"):
        keystore.put("a", "secret", b"second")
    assert keystore.get("a") == b"first"
    keystore.delete("a")
    keystore.put("a", "secret", b"second")
    assert keystore.get("a") == b"second"


def test_a_keystore_never_replaces_another(folder: Path, keystore: Keystore) -> None:
    keystore.put("a", "secret", b"x")
    with pytest.raises(KeystoreExists):
        Keystore.create(folder, "other", CHEAP)
    (folder / "keystore.json").unlink()
    with pytest.raises(KeystoreExists):
        Keystore.create(folder, "other", CHEAP)  # the entries of a lost header may come back with a backup
    with pytest.raises(KeystoreMissing, match=r"keystore\.json"):
        Keystore.open(folder, PASSPHRASE)


def test_no_keystore(folder: Path) -> None:
    with pytest.raises(KeystoreMissing, match="wattpact init"):
        Keystore.open(folder, PASSPHRASE)


@pytest.mark.parametrize("passphrase", ["", "wrong", "correct horse ", "Correct horse", "\ud800"])
def test_wrong_passphrase(folder: Path, keystore: Keystore, passphrase: str) -> None:
    with pytest.raises(WrongPassphrase):
        Keystore.open(folder, passphrase)


def test_passphrase_in_another_unicode_form(tmp_path: Path) -> None:
    Keystore.create(tmp_path / "k", "caf\u00e9", CHEAP)
    Keystore.open(tmp_path / "k", "cafe\u0301")


@pytest.mark.parametrize("passphrase", ["", "\ud800"])
def test_unusable_passphrase_leaves_nothing_behind(folder: Path, passphrase: str) -> None:
    with pytest.raises(WrongPassphrase):
        Keystore.create(folder, passphrase, CHEAP)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "cost", [{"memory_kib": 2**31}, {"memory_kib": 2**20 + 1}, {"time_cost": 17}, {"lanes": 17}, {"time_cost": 10**9}]
)
def test_a_hostile_header_cannot_exhaust_memory_or_time(folder: Path, keystore: Keystore, cost: dict[str, int]) -> None:
    """The bounds are checked before Argon2id is called: these parameters would take minutes or terabytes."""
    header(folder, kdf=cost)
    with pytest.raises(KeystoreDamaged, match=next(iter(cost))):
        Keystore.open(folder, PASSPHRASE)


@pytest.mark.parametrize(
    "cost",
    [
        {"memory_kib": "64"},
        {"memory_kib": 64.0},
        {"time_cost": True},
        {"time_cost": 0},
        {"lanes": 0},
        {"memory_kib": 64, "lanes": 16},
        {"name": "scrypt"},
        {"salt": "00"},
        {"salt": None},
        {"more": 1},
    ],
)
def test_header_parameters_of_a_wrong_form(folder: Path, keystore: Keystore, cost: dict[str, Any]) -> None:
    header(folder, kdf=cost)
    with pytest.raises(KeystoreDamaged, match=r"keystore\.json"):
        Keystore.open(folder, PASSPHRASE)


def test_changed_parameters_within_bounds_do_not_open(folder: Path, keystore: Keystore) -> None:
    header(folder, kdf={"time_cost": 2})
    with pytest.raises(WrongPassphrase):
        Keystore.open(folder, PASSPHRASE)


@pytest.mark.parametrize(
    "fields", [{"id": "00"}, {"check": {}}, {"check": None}, {"kdf": 5}, {"check": {"nonce": "", "sealed": ""}}]
)
def test_damaged_header(folder: Path, keystore: Keystore, fields: dict[str, Any]) -> None:
    document = json.loads((folder / "keystore.json").read_text())
    document.update(fields)
    (folder / "keystore.json").write_text(json.dumps(document))
    with pytest.raises(KeystoreDamaged, match="checksum"):
        Keystore.open(folder, PASSPHRASE)
    header(folder)
    with pytest.raises(KeystoreDamaged, match="restore it from a backup"):
        Keystore.open(folder, PASSPHRASE)


@pytest.mark.parametrize("name", ["keystore.json", "a.key"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"version":"1"}',
        b'{"version":true}',
        b'{"version":1}',
        b"1" * 9999,
    ],
)
def test_files_that_are_not_ours(folder: Path, keystore: Keystore, name: str, content: bytes) -> None:
    keystore.put("a", "secret", b"x")
    (folder / name).write_bytes(content)
    with pytest.raises(KeystoreDamaged, match=name):
        Keystore.open(folder, PASSPHRASE).get("a")


@pytest.mark.parametrize("name", ["keystore.json", "a.key"])
def test_unknown_version(folder: Path, keystore: Keystore, name: str) -> None:
    keystore.put("a", "secret", b"x")
    change(folder / name, version=2)
    with pytest.raises(UnknownVersion, match=f"{name}.*has version 2"):
        Keystore.open(folder, PASSPHRASE).get("a")


@pytest.mark.parametrize("field", ["salt", "nonce", "sealed"])
def test_every_sealed_byte_counts(folder: Path, keystore: Keystore, field: str) -> None:
    keystore.put("a", "secret", b"abc")
    path = folder / "a.key"
    good = path.read_text()
    raw = bytes.fromhex(json.loads(good)[field])
    for position in range(len(raw)):
        bent = bytearray(raw)
        bent[position] ^= 1
        path.write_text(good)
        change(path, **{field: bent.hex()})
        with pytest.raises(KeystoreDamaged, match=r"a\.key"):
            keystore.get("a")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "wallet"),
        ("kind", "X"),
        ("kind", 1),
        ("name", "b"),
        ("salt", "00"),
        ("nonce", "AB" * 12),
        ("sealed", "0"),
        ("sealed", ""),
    ],
)
def test_entry_fields(folder: Path, keystore: Keystore, field: str, value: Any) -> None:
    """A secret stored as one kind cannot be passed off as another: the kind is authenticated."""
    keystore.put("a", "secret", b"\x01" * 32)
    change(folder / "a.key", **{field: value})
    with pytest.raises(KeystoreDamaged):
        keystore.kind("a")


def test_entries_cannot_be_renamed_swapped_or_brought_along(tmp_path: Path, folder: Path, keystore: Keystore) -> None:
    keystore.put("a", "secret", b"1")
    keystore.put("b", "secret", b"2")
    a, b = (folder / "a.key").read_bytes(), (folder / "b.key").read_bytes()
    (folder / "a.key").write_bytes(b)
    with pytest.raises(KeystoreDamaged, match="another entry"):
        keystore.get("a")
    (folder / "a.key").write_bytes(b.replace(b'"name": "b"', b'"name": "a"'))
    with pytest.raises(KeystoreDamaged):
        keystore.get("a")
    other = Keystore.create(tmp_path / "other", PASSPHRASE, CHEAP)
    create_file(tmp_path / "other" / "a.key", a)
    with pytest.raises(KeystoreDamaged, match="another keystore"):
        other.get("a")


@pytest.mark.parametrize(
    ("place", "mode", "remedy"),
    [("", 0o750, "chmod 700"), ("keystore.json", 0o640, "chmod 600"), ("a.key", 0o604, "chmod 600")],
)
def test_permissions(folder: Path, keystore: Keystore, place: str, mode: int, remedy: str) -> None:
    keystore.put("a", "secret", b"x")
    (folder / place).chmod(mode)
    with pytest.raises(UnsafePermissions, match=remedy):
        Keystore.open(folder, PASSPHRASE).get("a")
    (folder / place).chmod(0o700 if not place else 0o600)
    assert Keystore.open(folder, PASSPHRASE).get("a") == b"x"


def test_an_open_folder_is_not_taken_over(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(UnsafePermissions):
        Keystore.create(folder, PASSPHRASE, CHEAP)


def test_links_pipes_and_folders_in_place_of_files(folder: Path, keystore: Keystore) -> None:
    keystore.put("a", "secret", b"x")
    (folder / "b.key").symlink_to(folder / "a.key")
    os.mkfifo(folder / "c.key", 0o600)
    (folder / "d.key").mkdir(mode=0o700)
    for name in ("b", "c", "d"):
        with pytest.raises(KeystoreError):
            keystore.get(name)
    with pytest.raises(KeystoreError):
        keystore.delete("b")
    assert keystore.get("a") == b"x"
    linked = folder.parent / "linked"
    linked.symlink_to(folder)
    with pytest.raises(KeystoreError, match="not followed"):
        Keystore.open(linked, PASSPHRASE)
    (folder.parent / "file").write_text("x")
    with pytest.raises(KeystoreError):
        Keystore.open(folder.parent / "file", PASSPHRASE)
    with pytest.raises(KeystoreError):
        Keystore.create(folder.parent / "file", PASSPHRASE, CHEAP)
    with pytest.raises(KeystoreError):
        Keystore.create(folder.parent / "file" / "below", PASSPHRASE, CHEAP)


def test_an_oversized_file_is_not_read(folder: Path, keystore: Keystore) -> None:
    keystore.put("a", "secret", b"x")
    with (folder / "a.key").open("r+b") as file:
        file.truncate(10**12)  # sparse: reading it would take the machine down
    with pytest.raises(KeystoreDamaged, match="larger"):
        keystore.get("a")


@pytest.mark.parametrize(
    "name", ["", "A", "../a", "a/b", ".a", "-a", "a\n", "a\x00", "\u00e4", "a" * 128, ".tmp-x", None, 5]
)
def test_names(keystore: Keystore, name: Any) -> None:
    for call in (keystore.get, keystore.kind, keystore.delete):
        with pytest.raises(EntryName):
            call(name)
    with pytest.raises(EntryName):
        keystore.put(name, "secret", b"x")


def test_longest_name(keystore: Keystore) -> None:
    keystore.put("a" * 127, "secret", b"x")
    assert keystore.get("a" * 127) == b"x"


@pytest.mark.parametrize(
    ("kind", "secret"),
    [("Secret", b"x"), ("", b"x"), (5, b"x"), ("secret", b""), ("secret", bytes(MAX_SECRET + 1)), ("secret", "x")],
)
def test_what_cannot_be_stored(keystore: Keystore, kind: Any, secret: Any) -> None:
    with pytest.raises(EntryName):
        keystore.put("a", kind, secret)
    assert keystore.names() == ()


def test_a_wallet_must_open_as_one(keystore: Keystore) -> None:
    with pytest.raises(SignerError):
        keystore.put("a", "wallet", bytes(32))
    assert keystore.names() == ()


def test_largest_secret(keystore: Keystore) -> None:
    keystore.put("a", "secret", b"s" * MAX_SECRET)
    assert keystore.get("a") == b"s" * MAX_SECRET


def test_missing_entries(keystore: Keystore) -> None:
    for call in (keystore.get, keystore.kind, keystore.delete):
        with pytest.raises(EntryMissing, match="no entry"):
            call("nothing")


def test_delete_overwrites_before_it_removes(folder: Path, keystore: Keystore) -> None:
    keystore.put("a", "secret", b"x" * 100)
    before = (folder / "a.key").read_bytes()
    os.link(folder / "a.key", folder.parent / "second-name")  # sees the same blocks after the name is gone
    keystore.delete("a")
    after = (folder.parent / "second-name").read_bytes()
    assert len(after) == len(before)
    assert after != before
    assert b"sealed" not in after
    assert keystore.names() == ()


def test_closed(keystore: Keystore) -> None:
    keystore.put("a", "secret", b"x")
    keystore.close()
    for call in (
        lambda: keystore.get("a"),
        keystore.names,
        lambda: keystore.put("b", "k", b"x"),
        lambda: keystore.delete("a"),
    ):
        with pytest.raises(KeystoreClosed):
            call()
    assert "closed" in repr(keystore)


def test_other_wallets_open_the_export(keystore: Keystore) -> None:
    secret = identity().wallet().to_bytes()
    keystore.put("main", "wallet", secret)
    keystore.put("other", "secret", b"x")
    document = json.loads(json.dumps(keystore.export_v3("main", "for another wallet")))
    assert document["version"] == 3
    assert bytes(Account.decrypt(document, "for another wallet")) == secret
    assert document["address"].removeprefix("0x").lower() == identity().wallet().address.hex()
    with pytest.raises(EntryName, match="kind secret"):
        keystore.export_v3("other", "x")
    with pytest.raises(EntryName, match="passphrase"):
        keystore.export_v3("main", "")


def test_a_failed_write_leaves_nothing(folder: Path, keystore: Keystore) -> None:
    keystore.put("a", "secret", b"x")
    with pytest.raises(EntryExists):
        create_file(folder / "a.key", b"y")
    with pytest.raises(KeystoreError):
        create_file(folder / "missing" / "a.key", b"y")
    assert sorted(path.name for path in folder.iterdir()) == ["a.key", "keystore.json"]


def test_what_a_killed_process_left_is_swept_when_old(folder: Path, keystore: Keystore) -> None:
    old, young = folder / ".tmp-0011", folder / ".tmp-2233"
    for path in (old, young):
        path.write_bytes(b"half")
        path.chmod(0o600)
    os.utime(old, (1, 1))
    again = Keystore.open(folder, PASSPHRASE)
    assert not old.exists()
    assert young.exists(), "it may belong to a process that is writing now"
    assert again.names() == ()


def test_strange_files_are_not_entries(folder: Path, keystore: Keystore) -> None:
    (folder / "Notes.key").write_text("x")
    (folder / "notes.txt").write_text("x")
    assert keystore.names() == ()


def test_read_file_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none", 10)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200))
def test_any_secret_survives(tmp_path: Path, secret: bytes) -> None:
    folder = tmp_path / "keys"
    store = Keystore.open(folder, PASSPHRASE) if folder.exists() else Keystore.create(folder, PASSPHRASE, CHEAP)
    store.put("a", "secret", secret)
    assert store.get("a") == secret
    store.delete("a")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(1, 255), st.sampled_from(["keystore.json", "a.key"]))
def test_any_changed_byte_is_an_error_or_changes_nothing(tmp_path: Path, position: int, flip: int, name: str) -> None:
    folder = tmp_path / "keys"
    if not folder.exists():
        Keystore.create(folder, PASSPHRASE, CHEAP).put("a", "secret", b"value")
    good = (folder / name).read_bytes()
    bent = bytearray(good)
    bent[position % len(bent)] ^= flip
    try:
        (folder / name).write_bytes(bytes(bent))
        with suppress(KeysError):
            assert Keystore.open(folder, PASSPHRASE).get("a") == b"value"  # white space between fields is not data
    finally:
        (folder / name).write_bytes(good)
