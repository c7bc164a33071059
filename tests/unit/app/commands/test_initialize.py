"""Part 8: `wattpact init` makes everything or nothing, and never touches an identity that is there."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from channels.guard import FolderLock
from keys.files import create_file
from keys.identity import Identity
from keys.keystore import Keystore
from keys.phrase import check_mnemonic
from node.app.commands.configfile import NO_REGISTRY, config_text
from node.app.commands.initialize import initialize
from node.app.datadir import MNEMONIC, DataDir, open_identity
from node.cli.factories import InitOptions, InitResult
from node.config import CONFIG_NAME, InvalidConfig, load_settings
from node.errors import Busy, ConfigError, Conflict, InvalidInput, NodeError, UsageError
from node.types import address_to_text

PASSPHRASE = SecretStr("correct horse battery staple")
WORDS = "abandon " * 11 + "about"
REGISTRY = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def init(folder: Path, words: str | None = None, settings: Mapping[str, object] | None = None) -> InitResult:
    given = SecretStr(words) if words is not None else None
    return initialize(InitOptions(folder, PASSPHRASE, given, settings or {}))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_identity_opens_and_its_words_restore_it(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    made = init(folder, settings={"chain.registry": REGISTRY})
    assert made.mnemonic is not None
    words = made.mnemonic.get_secret_value()
    assert check_mnemonic(words) == words
    assert len(words.split()) == 24
    _, identity = open_identity(DataDir(folder), PASSPHRASE)
    assert made.addresses == {
        "wallet": address_to_text(identity.wallet().address),
        "device": address_to_text(identity.device().address),
        "sender": address_to_text(identity.sender().address),
    }
    again = init(tmp_path / "restored", words)
    assert again.addresses == made.addresses
    assert again.mnemonic is None


def test_the_well_known_phrase_gives_the_well_known_address(tmp_path: Path) -> None:
    made = init(tmp_path / "node", "  ABANDON " + WORDS[8:])
    assert made.addresses["wallet"] == "0x9858EfFD232B4033E47d90003D41EC34EcaEda94"


def test_only_the_owner_sees_what_was_made(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        made = init(tmp_path / "node")
    finally:
        os.umask(old)
    folder = tmp_path / "node"
    assert mode(folder) == mode(folder / "keystore") == 0o700
    assert mode(made.config_path) == 0o600
    assert {mode(path) for path in (folder / "keystore").iterdir()} == {0o600}
    assert {path.name for path in folder.iterdir()} == {"keystore", CONFIG_NAME, "lock"}


def test_no_file_holds_the_words_or_the_passphrase(tmp_path: Path) -> None:
    made = init(tmp_path / "node")
    assert made.mnemonic is not None
    secrets = (made.mnemonic.get_secret_value().encode(), PASSPHRASE.get_secret_value().encode())
    for path in (tmp_path / "node").rglob("*"):
        assert path.is_dir() or not any(secret in path.read_bytes() for secret in secrets)


SETTINGS: dict[str, object] = {
    "node.roles": ("home", "gateway"),
    "node.name": 'A "quoted" name \\ ü',
    "node.public_url": "https://home.example",
    "chain.registry": REGISTRY,
    "chain.rpc_urls": ("http://127.0.0.1:8545", "https://rpc.example"),
    "chain.chain_id": 137,
    "chain.finality_depth": "finalized",
    "chain.poll_interval_s": "0.25",
    "broker.embedded": "true",
    "broker.listen": "[::1]:1884",
    "meter.kind": "serial",
    "meter.device": "/dev/ttyUSB0",
    "streams.names": "electricity/1s,gas/1h",
    "streams.genesis": "2026-01-01T00:00:00Z",
    "api.listen": "127.0.0.1:0",
    "broker.users": [{"name": "p", "password_hash_file": "/run/p.hash", "rules": ["read a/+"]}],
}


def test_the_config_file_says_what_was_chosen(tmp_path: Path) -> None:
    made = init(tmp_path / "node", settings=SETTINGS)
    flags = load_settings(None, environ={}, flags=SETTINGS).settings
    loaded = load_settings(made.config_path, environ={})
    assert loaded.settings.node.data_dir == tmp_path / "node"
    assert loaded.settings.model_copy(update={"node": flags.node}) == flags
    assert loaded.settings.node.model_copy(update={"data_dir": flags.node.data_dir}) == flags.node
    assert {key for key in SETTINGS if loaded.origin(key).kind == "file"} == set(SETTINGS)


def test_without_a_registry_the_file_has_the_placeholder(tmp_path: Path) -> None:
    made = init(tmp_path / "node")
    assert bytes(load_settings(made.config_path, environ={}).settings.chain.registry) == NO_REGISTRY


REFUSED: dict[str, tuple[Mapping[str, object], type[NodeError]]] = {
    "unknown key": ({"chain.nonsense": 1}, InvalidConfig),
    "a secret": ({"node.passphrase": "x"}, InvalidConfig),
    "no address": ({"chain.registry": "0x12"}, InvalidConfig),
    "a contradiction": ({"meter.kind": "serial"}, InvalidConfig),
    "a password in a URL": ({"storage.url": "postgresql+asyncpg://u:secret@db/x"}, ConfigError),
    "a password in a list": ({"chain.rpc_urls": ("http://u:secret@rpc",)}, ConfigError),
    "another folder": ({"node.data_dir": "/elsewhere"}, UsageError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_cannot_be_are_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    settings, error = REFUSED[name]
    with pytest.raises(error) as caught:
        init(tmp_path / "node", settings=settings)
    assert "secret@" not in str(caught.value)
    assert not (tmp_path / "node").exists()


@pytest.mark.parametrize("words", ["", "abandon " * 12, "hello world", WORDS + " about"])
def test_words_that_are_no_phrase_are_refused_and_not_repeated(tmp_path: Path, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        init(tmp_path / "node", words)
    assert "abandon" not in str(caught.value)
    assert not (tmp_path / "node").exists()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_identity_is_never_replaced(tmp_path: Path) -> None:
    init(tmp_path / "node")
    before = snapshot(tmp_path / "node")
    for words in (None, WORDS):
        with pytest.raises(Conflict, match="Nothing was changed"):
            init(tmp_path / "node", words)
    (tmp_path / "node" / CONFIG_NAME).unlink()
    with pytest.raises(Conflict):
        init(tmp_path / "node")
    assert {**snapshot(tmp_path / "node"), CONFIG_NAME: before[CONFIG_NAME]}.keys() == before.keys()


def test_entries_without_their_header_are_an_identity_too(tmp_path: Path) -> None:
    """After an accident they are somebody's keys."""
    init(tmp_path / "node")
    (tmp_path / "node" / "keystore" / "keystore.json").unlink()
    (tmp_path / "node" / CONFIG_NAME).unlink()
    with pytest.raises(Conflict):
        init(tmp_path / "node")


def test_a_link_in_the_keystores_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir(mode=0o700)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "node" / "keystore").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict):
        init(tmp_path / "node")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_config_file_of_somebody_stays(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir(mode=0o700)
    (folder / CONFIG_NAME).write_text("[node]\n")
    with pytest.raises(Conflict):
        init(folder)
    assert (folder / CONFIG_NAME).read_text() == "[node]\n"
    assert not (folder / "keystore").exists()


def test_an_interrupted_run_is_taken_up_again(tmp_path: Path) -> None:
    """kill -9 between config file and keystore: the same command goes on, and no half-made keys are left."""
    folder = tmp_path / "node"
    folder.mkdir(mode=0o700)
    create_file(folder / CONFIG_NAME, config_text({"node.name": "x"}).encode())
    Keystore.create(folder / ".init-0011" / "keystore", "another passphrase")
    made = init(folder, settings={"node.name": "x"})
    assert made.mnemonic is not None
    assert not list(folder.glob(".init-*"))
    keystore, _ = open_identity(DataDir(folder), PASSPHRASE)
    assert keystore.names() == (MNEMONIC,)


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir(mode=0o700)
    (folder / "passphrase").write_text("x")
    init(folder)
    assert (folder / "passphrase").read_text() == "x"


def test_a_folder_that_others_can_enter_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(ConfigError) as caught:
        init(folder)
    assert "chmod 700" in caught.value.remedy
    assert not list(folder.iterdir())


def test_a_folder_in_use_is_busy(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir(mode=0o700)
    with FolderLock(folder), pytest.raises(Busy):
        init(folder)
    assert {path.name for path in folder.iterdir()} == {"lock"}


def test_a_file_in_the_folders_place_and_an_unusable_passphrase_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NodeError):
        init(tmp_path / "file")
    with pytest.raises(NodeError):
        init(tmp_path / "file" / "below")
    with pytest.raises(NodeError):
        initialize(InitOptions(tmp_path / "node", SecretStr(""), None, {}))
    assert not (tmp_path / "node").exists()


def test_a_file_in_the_keystores_place_leaves_no_half(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir(mode=0o700)
    (folder / "keystore").write_text("")
    with pytest.raises(NodeError):
        init(folder)
    assert not (folder / CONFIG_NAME).exists()
    assert not list(folder.glob(".init-*"))


def test_the_identity_is_that_of_the_phrase(tmp_path: Path) -> None:
    made = init(tmp_path / "node", WORDS)
    assert made.addresses["sender"] == address_to_text(Identity.from_mnemonic(WORDS).sender().address)
