"""Signers by URI, and what their text form and pickles do not tell."""

from __future__ import annotations

import copy
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address

from keys.errors import EntryMissing, PathError, PhraseError, SecretLeak, SignerError
from keys.keystore import Keystore
from keys.messages import verify
from keys.sealing import SealingKey
from keys.signers import LocalSigner, Signer, open_signer
from keys.stream_key import StreamKey
from tests.unit.keys.builders import CHEAP, DOMAIN, MESSAGES, PHRASE, identity

TRANSACTION: dict[str, Any] = {
    "type": 2,
    "chainId": 31337,
    "nonce": 0,
    "to": to_checksum_address(b"\x05" * 20),
    "value": 1,
    "data": "0x",
    "gas": 21000,
    "maxFeePerGas": 10**9,
    "maxPriorityFeePerGas": 1,
}


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    store = Keystore.create(tmp_path / "keys", "correct horse", CHEAP)
    store.put("main", "wallet", identity().wallet().to_bytes())
    store.put("identity", "mnemonic", PHRASE.encode())
    store.put("other", "secret", bytes(32))
    return store


async def test_a_local_signer_is_a_signer() -> None:
    signer = identity().wallet()
    assert isinstance(signer, Signer)
    raw = await signer.sign_transaction(TRANSACTION)
    assert Account.recover_transaction(raw) == to_checksum_address(signer.address)
    verify(MESSAGES[0], DOMAIN, await signer.sign_message(MESSAGES[0], DOMAIN), signer.address)


@pytest.mark.parametrize(
    "change",
    [{"to": "nonsense"}, {"gas": -1}, {"nonce": None}, {"wrong": 1}, {"value": 2**300}, {"type": 99}, {"chainId": "x"}],
)
async def test_transactions_that_cannot_be_signed(change: dict[str, Any]) -> None:
    with pytest.raises(SignerError, match="cannot be signed"):
        await identity().wallet().sign_transaction({**TRANSACTION, **change})


async def test_a_transaction_from_another_account_is_refused() -> None:
    with pytest.raises(SignerError):
        await identity().wallet().sign_transaction({**TRANSACTION, "from": to_checksum_address(b"\x07" * 20)})


@pytest.mark.parametrize("secret", [b"", b"x" * 31, bytes(32), b"\xff" * 32, "x" * 32])
def test_bytes_that_are_no_key(secret: object) -> None:
    with pytest.raises(SignerError):
        LocalSigner(secret)  # type: ignore[arg-type]


def test_memory() -> None:
    assert open_signer("memory:").address != open_signer("memory:").address
    key = identity().wallet().to_bytes().hex()
    assert open_signer(f"memory:0x{key}").address == identity().wallet().address == open_signer(f"memory:{key}").address


def test_keystore_uris(keystore: Keystore) -> None:
    found = identity()
    assert open_signer("keystore:main", keystore).address == found.wallet().address
    assert open_signer("keystore:identity#wallet", keystore).address == found.wallet().address
    assert open_signer("keystore:identity#device", keystore).address == found.device().address
    assert open_signer("keystore:identity#sender", keystore).address == found.sender().address
    assert open_signer("keystore:identity#writer/a/b", keystore).address == found.writer("a/b").address
    assert open_signer("keystore:identity#reader/x#y", keystore).address == found.reader("x#y").address


@pytest.mark.parametrize(
    ("uri", "error", "says"),
    [
        ("", SignerError, "scheme:rest"),
        ("main", SignerError, "scheme:rest"),
        ("vault:x", SignerError, "unknown signer scheme 'vault'"),
        ("keystore:none", EntryMissing, "no entry"),
        ("keystore:other", SignerError, "kind secret"),
        ("keystore:main#wallet", SignerError, "one key"),
        ("keystore:identity", SignerError, "#wallet"),
        ("keystore:identity#boss", SignerError, "#wallet"),
        ("keystore:identity#writer", PathError, "label"),
        ("keystore:identity#writer/", PathError, "label"),
        ("keystore:identity#wallet/x", PathError, "no label"),
        ("memory:0x12", SignerError, "64 hex"),
        ("memory:0x" + "zz" * 32, SignerError, "64 hex"),
        ("memory:0x" + "0" * 64, SignerError, "secp256k1"),
    ],
)
def test_bad_uris(keystore: Keystore, uri: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        open_signer(uri, keystore)


def test_keystore_uri_without_a_keystore() -> None:
    with pytest.raises(SignerError, match="open keystore"):
        open_signer("keystore:main")


def test_an_entry_that_is_no_phrase_does_not_leak_through_the_error(keystore: Keystore) -> None:
    keystore.put("broken", "mnemonic", b"swordfish \xff\xfe swordfish")
    with pytest.raises(PhraseError) as caught:
        open_signer("keystore:broken#wallet", keystore)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "swordfish" not in repr(chain)
        assert b"swordfish" not in b"".join(arg for arg in chain.args if isinstance(arg, bytes))
        chain = chain.__context__


def test_a_secret_in_a_uri_is_not_repeated() -> None:
    secret = "ab" * 31
    with pytest.raises(SignerError) as caught:
        open_signer(f"memory:0x{secret}")
    assert secret not in str(caught.value)


def test_secrets_are_not_in_text_logs_pickles_or_copies(keystore: Keystore, caplog: pytest.LogCaptureFixture) -> None:
    """Every object that holds a secret, and everything that might print or move it."""
    found = identity()
    seed = found._seed
    holders: list[tuple[object, bytes]] = [
        (found, seed),
        (found.wallet(), found.wallet().to_bytes()),
        (found.stream_key("x"), found.stream_key("x").to_bytes()),
        (found.sealing_key("x"), found.sealing_key("x").to_bytes()),
        (keystore, keystore._key()),
        (SealingKey.generate(), b""),
        (StreamKey.generate(), b""),
    ]
    log = logging.getLogger("tests.keys")
    for holder, secret in holders:
        needle = secret.hex() or holder.to_bytes().hex()  # type: ignore[attr-defined]
        with caplog.at_level(logging.DEBUG):
            log.debug("%s %r", holder, holder)
        for text in (repr(holder), str(holder), f"{holder}", f"{[holder]}", caplog.text):
            assert needle not in text
            assert repr(bytes.fromhex(needle))[2:-1] not in text
        for move in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(SecretLeak):
                move(holder)
        assert not hasattr(holder, "__dict__")
