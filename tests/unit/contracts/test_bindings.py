"""Bindings: calldata, events and errors as the ABI says, in bytes and integers (contracts.md, Python face)."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from contracts import ContractError, MalformedData, MalformedLog, UnknownEvent, load_artifact
from contracts.bindings import consent_registry as registry
from contracts.bindings import energy_token
from contracts.bindings.consent_registry import errors as registry_errors
from scripts.generate_bindings import generate

A, B, H, K = b"\xaa" * 20, b"\xbb" * 20, b"\x11" * 32, b"\x22" * 32
OPEN_END = 2**40 - 1
ABI: dict[tuple[str, str], Any] = {(entry["type"], entry.get("name", "")): entry for entry in load_artifact().abi}


def word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def test_a_call_is_laid_out_as_the_abi_says() -> None:
    """One call written out by hand, so that the encoder is not only compared with itself."""
    data = registry.encode_revoke(registry.Revoke(A, H, K), b"\x05" * 65)
    assert data[:4] == keccak(text="revoke((address,bytes32,bytes32),bytes)")[:4]
    assert data[4:] == word(A) + H + K + word(128) + word(65) + b"\x05" * 65 + bytes(31)


def test_nested_values_are_laid_out_as_the_abi_says() -> None:
    data = registry.encode_batch([b"m" * 33, b"a"])
    first = word(33) + b"m" * 33 + bytes(31)
    assert data[4:] == word(32) + word(2) + word(64) + word(160) + first + word(1) + b"a".ljust(32, b"\0")
    short = registry.ShortGrant(1, 2, H, K, 3, H, K)
    data = registry.encode_grant_short(short, [K])
    assert data[4:] == word(1) + word(2) + H + K + word(3) + H + K + word(256) + word(1) + K


def test_anything_with_the_fields_of_a_message_will_do() -> None:
    """The messages of `keys` are other classes; only the fields count."""

    @dataclass(frozen=True)
    class Other:
        account: bytes
        grant_id: bytes
        sid: bytes
        more: str = "ignored"

    assert registry.encode_revoke(Other(A, H, K), b"") == registry.encode_revoke(registry.Revoke(A, H, K), b"")


def test_there_is_an_encoder_for_every_function_and_a_decoder_for_every_view() -> None:
    for (kind, name), entry in ABI.items():
        if kind != "function":
            continue
        python = {"eip712Domain": "eip712_domain"}.get(name) or "".join(
            "_" + c.lower() if c.isupper() else c for c in name
        )
        assert hasattr(registry, f"encode_{python}"), name
        assert hasattr(registry, f"decode_{python}") == (entry["stateMutability"] == "view"), name


def test_there_is_an_event_and_an_error_for_every_one_in_the_abi() -> None:
    events = {name for kind, name in ABI if kind == "event"}
    assert {made.make.__name__ for made in registry.EVENTS.values()} == events
    errors = {name for kind, name in ABI if kind == "error"} | {"Error", "Panic"}
    assert {shape.name for shape in registry.ERRORS.values()} == errors


def log_of(event: registry.Event) -> tuple[list[bytes], bytes]:
    """A log as the contract would emit it, from the ABI in the artifact."""
    inputs = ABI["event", type(event).__name__]["inputs"]
    values = [getattr(event, field.name) for field in fields(event)]
    topics, types, data = [event.TOPIC], [], []
    for entry, value in zip(inputs, values, strict=True):
        if entry["indexed"]:
            topics.append(encode([entry["type"]], [value]))
        else:
            types.append(entry["type"])
            data.append(list(value) if isinstance(value, tuple) else value)
    return topics, encode(types, data)


EVENTS: list[registry.Event] = [
    registry.StreamRegistered(H, A, B, K, H, 1_760_000_000, 900),
    registry.WriterSet(H, bytes(20), bytes(32)),
    registry.DevicePaired(A, H, B),
    registry.DeviceUnpaired(A, H),
    registry.Granted(H, A, B, K, H, 7 << 80 | OPEN_END << 40 | 1, (H, K)),
    registry.Revoked(H, A, bytes(32)),
    registry.KeyRegistered(H, K),
    registry.Committed(H, 2**64 - 1, K),
    registry.StreamTransferred(H, A, B),
    registry.Rejected(H, bytes.fromhex("e43bf149")),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_come_back_as_they_were(event: registry.Event) -> None:
    topics, data = log_of(event)
    assert registry.decode_log(topics, data) == event


def test_the_topics_are_the_hashes_of_the_signatures_in_the_plan_of_the_chain() -> None:
    assert keccak(text="Revoked(bytes32,address,bytes32)") == registry.Revoked.TOPIC
    assert keccak(text="Committed(bytes32,uint64,bytes32)") == registry.Committed.TOPIC
    granted = "Granted(bytes32,address,address,bytes32,bytes32,uint256,bytes32[])"
    assert keccak(text=granted) == registry.Granted.TOPIC


def test_a_strangers_log_is_named_so() -> None:
    with pytest.raises(UnknownEvent):
        registry.decode_log([H], b"")
    with pytest.raises(UnknownEvent):
        registry.decode_log([], b"")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_misshapen_logs_are_refused(event: registry.Event) -> None:
    topics, data = log_of(event)
    with pytest.raises(MalformedLog):
        registry.decode_log(topics[:-1], data)
    with pytest.raises(MalformedLog):
        registry.decode_log([*topics, H], data)
    if data:
        with pytest.raises(MalformedLog):
            registry.decode_log(topics, data[:-1])


def test_dirty_values_are_refused() -> None:
    """An address with other bits set in its word, a number wider than its type."""
    topics, data = log_of(registry.Committed(H, 1, K))
    with pytest.raises(MalformedLog):
        registry.decode_log(topics, b"\x01" + data[1:])
    topics, data = log_of(registry.DeviceUnpaired(A, H))
    with pytest.raises(MalformedLog):
        registry.decode_log([topics[0], b"\x01" + topics[1][1:], topics[2]], data)


@given(st.lists(st.binary(max_size=40), max_size=5), st.binary(max_size=400), st.sampled_from(sorted(registry.EVENTS)))
def test_noise_never_ends_in_anything_else(topics: list[bytes], data: bytes, first: bytes) -> None:
    try:
        registry.decode_log([first, *topics], data)
    except MalformedLog:
        return


def test_views_decode_to_bytes() -> None:
    raw = word(A) + word(5) + word(1) + word(7) + word(B) + word(3) + word(900) + K
    assert registry.decode_streams(raw) == registry.Stream(A, 5, 1, 7, B, 3, 900, K)
    assert registry.decode_grant_of(word(B) + word(1) + word(2) + word(0)) == registry.Entry(B, 1, 2, 0)
    assert registry.decode_pairing_of(word(A) + word(B)) == registry.Pairing(A, B)
    assert registry.decode_is_live(word(1)) is True
    assert registry.decode_digest_of(H) == H
    with pytest.raises(MalformedData):
        registry.decode_streams(raw[:-1])
    with pytest.raises(MalformedData):
        registry.decode_is_live(b"")


def test_a_revert_is_told_in_words_with_its_arguments() -> None:
    data = keccak(text="EpochNotNext(bytes32,uint64,uint64)")[:4] + H + word(5) + word(9)
    error = registry.decode_error(data)
    assert isinstance(error, ContractError)
    assert error.name == "EpochNotNext"
    assert error.arguments == {"sid": H, "expected": 5, "given": 9}
    assert error.selector == data[:4]
    assert str(error) == (
        f"A commit must carry the epoch after the newest one. (EpochNotNext: sid 0x{H.hex()}, expected 5, given 9)"
    )


def test_addresses_in_errors_are_bytes() -> None:
    error = registry.decode_error(keccak(text="WrongSigner(address)")[:4] + word(A))
    assert error.arguments == {"account": A}
    assert "0x" + A.hex() in str(error)


def test_standard_errors_are_understood() -> None:
    text = registry.decode_error(bytes.fromhex("08c379a0") + encode(["string"], ["no"]))
    assert (text.name, text.arguments) == ("Error", {"message": "no"})
    panic = registry.decode_error(bytes.fromhex("4e487b71") + word(0x11))
    assert (panic.name, panic.arguments) == ("Panic", {"code": 0x11})


@pytest.mark.parametrize(
    ("data", "name"),
    [(b"", "Empty"), (b"\x01", "Unknown"), (b"\x01\x02\x03\x04", "Unknown"), (b"\x4e\x48\x7b\x71", "Unknown")],
)
def test_unexplained_reverts_are_an_answer_too(data: bytes, name: str) -> None:
    assert registry.decode_error(data).name == name


@given(st.binary(max_size=200))
def test_no_revert_data_makes_the_decoder_fail(data: bytes) -> None:
    registry.decode_error(data)


def test_every_error_has_a_sentence() -> None:
    ours = {name for kind, name in ABI if kind == "error"} - {"InvalidShortString", "StringTooLong"}
    for shape in registry_errors.ERRORS.values():
        assert shape.notice.endswith("."), shape.name
        if shape.name in ours:
            assert shape.notice != "The contract refused.", shape.name


def test_codes_of_rejected_items_have_names() -> None:
    assert registry.error_name(keccak(text="NoStreams()")[:4]) == "NoStreams"
    assert registry.error_name(b"\0\0\0\0") == "0x00000000"


def test_the_generated_files_name_their_source() -> None:
    folder = Path(registry.__file__).parent
    for path in folder.glob("*.py"):
        assert "Generated by scripts/build_contracts" in path.read_text().splitlines()[0]


def test_overloads_need_names_of_their_own() -> None:
    """ERC-20 and ERC-6909 share names; Python has no overloading, so a clash stops the generator."""
    artifact = json.loads((Path(__file__).resolve().parents[3] / "contracts/artifacts/EnergyToken.json").read_text())
    with pytest.raises(ValueError, match="needs a name of its own"):
        generate(artifact, {})
    assert energy_token.encode_balance_of(A)[:4] == keccak(text="balanceOf(address)")[:4]
    assert energy_token.encode_share_balance_of(A, 1)[:4] == keccak(text="balanceOf(address,uint256)")[:4]
    assert keccak(text="Transfer(address,address,address,uint256,uint256)") == energy_token.ShareTransfer.TOPIC


def test_arguments_of_a_constructor_follow_the_code() -> None:
    assert energy_token.encode_constructor(A) == word(A)


def test_struct_fields_follow_the_abi() -> None:
    def visit(entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            if entry["type"].startswith("tuple"):
                name = entry["internalType"].removeprefix("struct ").removesuffix("[]")
                made = getattr(registry, name)
                python = [
                    "".join("_" + c.lower() if c.isupper() else c for c in p["name"]) for p in entry["components"]
                ]
                assert [field.name for field in fields(made)] == python
                visit(entry["components"])

    for (kind, _), entry in ABI.items():
        if kind == "function":
            visit(json.loads(json.dumps(entry["inputs"] + entry["outputs"])))
