"""Part 8: `wattpact keys new|show|export`; what is exported opens in other wallets (part 2)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_account import Account
from pydantic import SecretStr

from keys.identity import Identity
from node.app.commands.initialize import initialize
from node.app.commands.keyring import DERIVED, Keyring
from node.cli.factories import InitOptions
from node.config import LoadedConfig, load_settings
from node.errors import ConfigError, Conflict, InvalidInput, NotFound
from node.types import address_to_text

PASSPHRASE = SecretStr("correct horse battery staple")
TARGET = SecretStr("words for the other wallet")
WORDS = "abandon " * 11 + "about"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> LoadedConfig:
    folder = tmp_path_factory.mktemp("keys") / "node"
    made = initialize(InitOptions(folder, PASSPHRASE, SecretStr(WORDS), {}))
    return load_settings(made.config_path, environ={})


def test_derived_accounts_and_entries_are_shown_without_secrets(config: LoadedConfig) -> None:
    keyring, identity = Keyring(), Identity.from_mnemonic(WORDS)
    rows = {row.name: row for row in keyring.show(config, PASSPHRASE)}
    for name, signer in {"wallet": identity.wallet(), "device": identity.device(), "sender": identity.sender()}.items():
        assert (rows[name].kind, rows[name].public) == (DERIVED, address_to_text(signer.address))
    assert (rows["mnemonic"].kind, rows["mnemonic"].public) == ("mnemonic", "")
    assert "abandon" not in str(rows)


@pytest.mark.parametrize(("kind", "size"), [("wallet", 20), ("stream", 32), ("sealing", 32)])
def test_a_new_key_is_shown_with_its_public_part(config: LoadedConfig, kind: str, size: int) -> None:
    made = Keyring().new(config, f"new-{kind}", kind, PASSPHRASE)
    assert len(bytes.fromhex(made.public[2:])) == size
    assert made in Keyring().show(config, PASSPHRASE)
    with pytest.raises(Conflict):
        Keyring().new(config, f"new-{kind}", kind, PASSPHRASE)


@pytest.mark.parametrize("name", ["wallet", "device", "sender"])
def test_derived_names_are_taken(config: LoadedConfig, name: str) -> None:
    with pytest.raises(Conflict):
        Keyring().new(config, name, "wallet", PASSPHRASE)


def test_names_and_kinds_that_cannot_be_are_refused(config: LoadedConfig) -> None:
    for name, kind in (("x", "master"), ("x", "mnemonic"), ("../x", "wallet"), ("", "wallet")):
        with pytest.raises(InvalidInput):
            Keyring().new(config, name, kind, PASSPHRASE)


def test_an_export_opens_elsewhere_with_its_own_passphrase(config: LoadedConfig) -> None:
    document = json.loads(json.dumps(Keyring().export(config, "wallet", PASSPHRASE, TARGET)))
    assert document["version"] == 3
    key = Account.decrypt(document, TARGET.get_secret_value())
    assert bytes(key) == Identity.from_mnemonic(WORDS).wallet().to_bytes()
    with pytest.raises(ValueError, match="MAC"):
        Account.decrypt(document, PASSPHRASE.get_secret_value())


def test_an_entry_of_its_own_is_exported_too(config: LoadedConfig) -> None:
    made = Keyring().new(config, "trading", "wallet", PASSPHRASE)
    document = dict(Keyring().export(config, "trading", PASSPHRASE, TARGET))
    assert Account.from_key(Account.decrypt(document, TARGET.get_secret_value())).address == made.public


def test_other_secrets_are_not_exported(config: LoadedConfig) -> None:
    with pytest.raises(InvalidInput):
        Keyring().export(config, "mnemonic", PASSPHRASE, TARGET)
    with pytest.raises(NotFound):
        Keyring().export(config, "nobody", PASSPHRASE, TARGET)
    with pytest.raises(InvalidInput):
        Keyring().export(config, "wallet", PASSPHRASE, SecretStr(""))


def test_a_wrong_passphrase_and_a_missing_keystore_say_what_to_do(config: LoadedConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as wrong:
        Keyring().show(config, SecretStr("wrong"))
    assert wrong.value.remedy
    flags = {"chain.registry": "0x" + "00" * 20, "node.data_dir": str(tmp_path / "nowhere")}
    with pytest.raises(ConfigError) as missing:
        Keyring().show(load_settings(None, environ={}, flags=flags), PASSPHRASE)
    assert "wattpact init" in missing.value.remedy
