"""The mnemonic, the table of paths and labels, and the identity derived from them."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from eth_account import Account
from eth_account.hdaccount import key_from_seed
from hypothesis import given
from hypothesis import strategies as st
from mnemonic import Mnemonic

from keys.errors import PathError, PhraseError
from keys.identity import Identity
from keys.paths import MAX_LABEL, Kind, Role, derive_path, derive_secret, path_of
from keys.phrase import WORD_COUNTS, check_mnemonic, generate_mnemonic, seed_from_mnemonic
from tests.unit.keys.builders import PHRASE, identity, vector

VECTORS = vector("keys_bip.json")


@pytest.mark.parametrize("case", VECTORS["bip39"]["cases"])
def test_bip39_vectors(case: dict[str, str]) -> None:
    assert seed_from_mnemonic(case["phrase"], VECTORS["bip39"]["passphrase"]).hex() == case["seed"]
    assert Mnemonic("english").to_mnemonic(bytes.fromhex(case["entropy"])) == case["phrase"]


@pytest.mark.parametrize(("path", "key"), VECTORS["bip32"]["cases"].items())
def test_bip32_vectors(path: str, key: str) -> None:
    assert derive_path(bytes.fromhex(VECTORS["bip32"]["seed"]), path).hex() == key


@given(st.binary(min_size=16, max_size=64), st.lists(st.tuples(st.integers(0, 2**31 - 1), st.booleans()), min_size=1))
def test_keys_are_those_of_another_library(seed: bytes, steps: list[tuple[int, bool]]) -> None:
    path = "m/" + "/".join(f"{number}'" if hardened else str(number) for number, hardened in steps)
    assert derive_path(seed, path) == bytes(key_from_seed(seed, path))


def test_rfc5869_vector() -> None:
    case = {name: bytes.fromhex(value) for name, value in VECTORS["hkdf"].items() if name != "source"}
    derived = HKDF(SHA256(), len(case["okm"]), case["salt"], case["info"]).derive(case["ikm"])
    assert derived == case["okm"]


def test_wallet_has_the_address_that_ordinary_wallets_show() -> None:
    signer = Identity.from_mnemonic(VECTORS["bip44"]["phrase"]).wallet()
    assert signer.address.hex() == VECTORS["bip44"]["address"]
    assert signer.to_bytes().hex() == VECTORS["bip44"]["key"]


def test_all_keys_are_frozen_for_ever() -> None:
    """A change here means that nobody's backup opens any more."""
    found = identity()
    assert {
        "device": found.device().address.hex(),
        "sender": found.sender().address.hex(),
        "writer": found.writer("electricity-import/1s").address.hex(),
        "reader": found.reader("consent 7").address.hex(),
        "asset": found.asset("0x" + "0a" * 20).address.hex(),
        "stream": found.stream_key("electricity-import/1s").public_bytes.hex(),
        "stream of suite 2": found.stream_key("electricity-import/1s", post_quantum=True).key_hash().hex(),
        "sealing": found.sealing_key("inbox").key_hash().hex(),
        "secret": found.secret("private-log").hex(),
    } == vector("keys_identity.json")["keys"]


def test_the_table_of_paths() -> None:
    assert {role.title: role.base for role in Role} == vector("keys_identity.json")["paths"]
    for role in Role:
        if role is not Role.WALLET:
            path = path_of(role, "x" if role.labelled else None)
            assert all(step.endswith("'") for step in path.split("/")[1:]), "a leaked child must not tell its siblings"


def test_roles_labels_and_kinds_never_share_a_key() -> None:
    found, labels = identity(), ("a", "b", "a/b", "a b")
    accounts = [found.wallet(), found.device(), found.sender()]
    accounts += [make(label) for make in (found.writer, found.reader, found.asset) for label in labels]
    secrets = [account.to_bytes() for account in accounts]
    secrets += [found.stream_key(x).to_bytes() for x in labels] + [found.sealing_key(x).to_bytes() for x in labels]
    secrets += [found.secret(x) for x in labels]
    assert len(set(secrets)) == len(secrets)


def test_passphrase_gives_another_identity() -> None:
    assert Identity.from_mnemonic(PHRASE, "x").wallet().address != identity().wallet().address


def test_composed_and_decomposed_labels_give_one_key() -> None:
    """A label typed on another keyboard may arrive in another Unicode form."""
    assert identity().writer("caf\u00e9").address == identity().writer("cafe\u0301").address
    assert identity().secret("caf\u00e9") == identity().secret("cafe\u0301")


@pytest.mark.parametrize("label", ["", "a\nb", "\x00", "\ud800", "x" * (MAX_LABEL + 1), "\u00e9" * 128])
def test_bad_labels(label: str) -> None:
    for derive in (identity().writer, identity().reader, identity().stream_key, identity().secret):
        with pytest.raises(PathError):
            derive(label)


@pytest.mark.parametrize("role", list(Role))
def test_a_label_where_none_belongs_is_refused(role: Role) -> None:
    with pytest.raises(PathError, match=role.title):
        path_of(role, None if role.labelled else "x")


@given(st.text(min_size=1, max_size=40))
def test_labelled_paths_are_hardened_numbers(label: str) -> None:
    try:
        path = path_of(Role.READER, label)
    except PathError:
        return
    first, second = path.removeprefix(Role.READER.base + "/").split("/")
    assert all(step.endswith("'") and 0 <= int(step[:-1]) < 2**31 for step in (first, second))


def test_hkdf_inputs_are_what_the_table_says() -> None:
    seed = seed_from_mnemonic(PHRASE)
    by_hand = HKDF(SHA256(), 32, b"wattpact keys v1", b"stream-key\x00x").derive(seed)
    assert derive_secret(seed, Kind.STREAM_KEY, "x") == by_hand


@pytest.mark.parametrize("words", WORD_COUNTS)
def test_generated_phrases_pass_their_own_check(words: int) -> None:
    phrase = generate_mnemonic(words)
    assert check_mnemonic(phrase) == phrase
    assert len(phrase.split()) == words
    assert phrase != generate_mnemonic(words)


def test_phrase_is_normalised() -> None:
    assert check_mnemonic("  TEST " + PHRASE.removeprefix("test").upper() + "\n") == PHRASE


@pytest.mark.parametrize(
    ("phrase", "says"),
    [
        ("", "this one has 0"),
        ("test junk", "this one has 2"),
        (PHRASE.replace("junk", "test"), "checksum"),
        (PHRASE.replace("junk", "swordfish"), "word 12"),
        ("swordfish " + PHRASE.removeprefix("test "), "word 1 "),
    ],
)
def test_bad_phrases_say_where_and_repeat_no_word(phrase: str, says: str) -> None:
    with pytest.raises(PhraseError, match=says) as caught:
        Identity.from_mnemonic(phrase)
    assert "swordfish" not in str(caught.value)


def test_generate_refuses_other_lengths() -> None:
    with pytest.raises(PhraseError):
        generate_mnemonic(13)


def test_seed_of_a_wrong_length() -> None:
    with pytest.raises(PhraseError):
        Identity(b"x" * 32)


def test_eth_account_derives_the_same_wallet() -> None:
    Account.enable_unaudited_hdwallet_features()
    phrase = generate_mnemonic()
    theirs = Account.from_mnemonic(phrase)
    assert bytes(theirs.key) == Identity.from_mnemonic(phrase).wallet().to_bytes()
