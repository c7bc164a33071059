"""Foreign bytes into every parser of `keys`: whatever comes, only errors of `keys` escape."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys.errors import KeysError
from keys.keystore import KdfCost, Keystore
from keys.messages import Domain, from_typed_data, recover, typed_data
from keys.parcel import _info, unpack
from keys.phrase import check_mnemonic
from keys.sealing import SealingKey, open_sealed, seal
from keys.signers import open_signer
from keys.stream_key import verify_stream_signature
from tests.unit.keys.builders import DOMAIN, MESSAGES

KEY = SealingKey(b"\x31" * 32)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def paths(document: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here] if here else []
    if isinstance(document, dict):
        for key, value in document.items():
            found += paths(value, (*here, key))
    if isinstance(document, list):
        for index, value in enumerate(document):
            found += paths(value, (*here, index))
    return found


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    copied = json.loads(json.dumps(document))
    target = copied
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return copied


@given(JSON)
def test_any_json_as_typed_data(document: Any) -> None:
    with pytest.raises(KeysError):
        from_typed_data(document)


@given(st.sampled_from(MESSAGES), st.data(), JSON)
def test_typed_data_with_any_one_value_replaced(message: Any, data: st.DataObject, value: Any) -> None:
    document = typed_data(message, DOMAIN)
    path = data.draw(st.sampled_from(paths(document)))
    try:
        found, domain = from_typed_data(replaced(document, path, value))
    except KeysError:
        return
    assert isinstance(domain, Domain)
    assert from_typed_data(typed_data(found, domain)) == (found, domain)


@given(st.sampled_from(MESSAGES), st.binary(max_size=70))
def test_any_bytes_as_signature(message: Any, signature: bytes) -> None:
    with suppress(KeysError):
        assert len(recover(message, DOMAIN, signature)) == 20


@given(st.binary(min_size=64, max_size=64), st.sampled_from([27, 28]))
def test_any_65_bytes_as_signature(body: bytes, v: int) -> None:
    """Mostly in range, so that the recovery itself is tried."""
    signature = bytes([body[0] & 0x7F]) + body[1:32] + b"\x00" + body[33:] + bytes([v])
    with suppress(KeysError):
        assert len(recover(MESSAGES[0], DOMAIN, signature)) == 20


@given(st.binary(max_size=3000))
def test_any_bytes_as_parcel(data: bytes) -> None:
    with pytest.raises(KeysError):
        unpack(KEY, data, chain_id=1, now=0)


@given(st.binary(max_size=400) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_inside_a_parcel(plain: bytes) -> None:
    data = b"\x00\x01" + seal(KEY.public_bytes, plain, _info(1, KEY.key_hash()))
    with pytest.raises(KeysError):
        unpack(KEY, data, chain_id=1, now=0)


@given(st.binary(max_size=1300), st.binary(max_size=10))
def test_any_bytes_as_sealed(data: bytes, info: bytes) -> None:
    with pytest.raises(KeysError):
        open_sealed(KEY, data, info)


@given(st.binary(max_size=1300) | st.binary(min_size=1216, max_size=1216))
def test_any_bytes_as_public_key(public: bytes) -> None:
    with suppress(KeysError):
        assert len(seal(public, b"", b"")) == 1136


@given(st.binary(max_size=40), st.binary(max_size=70))
def test_any_bytes_as_stream_signature(public: bytes, signature: bytes) -> None:
    with pytest.raises(KeysError):
        verify_stream_signature(public, b"message", signature)


@given(st.text(max_size=200))
def test_any_text_as_phrase_or_uri(text: str) -> None:
    with pytest.raises(KeysError):
        check_mnemonic(text)
    with suppress(KeysError):
        open_signer(text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["keystore.json", "a.key"]), st.data(), st.binary(max_size=300) | JSON)
def test_any_content_of_keystore_files(tmp_path: Path, name: str, data: st.DataObject, value: Any) -> None:
    folder = tmp_path / "keys"
    if not folder.exists():
        Keystore.create(folder, "x", KdfCost(1, 64, 1)).put("a", "secret", b"value")
    good = (folder / name).read_bytes()
    if isinstance(value, bytes):
        bent = value
    else:
        document = json.loads(good)
        bent = json.dumps(replaced(document, data.draw(st.sampled_from(paths(document))), value)).encode()
    temporary = folder.parent / "bent"
    temporary.write_bytes(bent)
    temporary.chmod(0o600)
    os.replace(temporary, folder / name)
    try:
        with suppress(KeysError):
            assert Keystore.open(folder, "x").get("a") == b"value"
    finally:
        (folder / name).write_bytes(good)
