"""contracts.md, rules for all messages: the EIP-712 messages, their digests, JSON forms and signatures."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from coincurve import PrivateKey
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import MessageError, SignatureError
from keys.ids import device_hash, name_hash, stream_id
from keys.messages import (
    STRUCTS,
    Domain,
    Grant,
    Message,
    ParcelSeal,
    PauseSource,
    Revoke,
    Statement,
    StreamCommit,
    allowances_domain,
    anchors_domain,
    digest,
    energy_domain,
    from_typed_data,
    market_domain,
    net_settlement_domain,
    parcel_domain,
    recover,
    registry_domain,
    struct_values,
    typed_data,
    verify,
)
from keys.signers import LocalSigner
from tests.unit.keys.builders import DOMAIN, ID, MESSAGES, OTHER_ID, OWNER, identity, vector

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
NAMES = [type(message).__name__ for message in MESSAGES]


def reference_digest(message: Message, domain: Domain) -> bytes:
    document = json.loads(json.dumps(typed_data(message, domain)))
    return bytes(_hash_eip191_message(encode_typed_data(full_message=document)))


def test_there_is_an_example_of_every_message() -> None:
    assert {type(message) for message in MESSAGES} == set(STRUCTS)


@pytest.mark.parametrize("message", MESSAGES, ids=NAMES)
def test_digest_agrees_with_eth_account(message: Message) -> None:
    for domain in (DOMAIN, parcel_domain(1), registry_domain(2**53 - 1, b"\xff" * 20)):
        assert digest(message, domain) == reference_digest(message, domain)


def test_types_are_those_of_the_contract() -> None:
    """The plan of the messages, word by word: a changed letter is another message."""
    by_name = {struct.name: struct.type_string for struct in STRUCTS.values()}
    assert by_name["Grant"] == (
        "Grant(address owner,address reader,bytes32 readerKeyHash,bytes32[] sids,uint40 start,uint40 end,"
        "uint32 purposeTag,bytes32 textHash,uint256 nonce,uint40 deadline)"
    )
    assert by_name["RegisterStream"] == (
        "RegisterStream(address owner,bytes32 nameHash,address writer,bytes32 streamKeyHash,uint40 genesis,"
        "uint32 slotSeconds,uint256 nonce,uint40 deadline)"
    )
    assert by_name["UnpairDevice"] == (
        "UnpairDevice(address account,bytes32 deviceHash,bytes32[] sids,uint256 nonce,uint40 deadline)"
    )
    assert by_name["StreamCommit"] == "StreamCommit(bytes32 sid,uint64 epoch,bytes32 commitHash)"
    assert by_name["Revoke"] == "Revoke(address account,bytes32 grantId,bytes32 sid)"


@pytest.mark.parametrize("message", MESSAGES, ids=NAMES)
def test_fields_and_attributes_belong_together(message: Message) -> None:
    struct = STRUCTS[type(message)]
    names = [field.name for field in dataclasses.fields(message)]
    assert [field.attribute for field in struct.fields] == names
    assert struct_values(message) == tuple(getattr(message, name) for name in names)


SHARED = vector("eip712.json")
DOMAINS: dict[str, Callable[[int, bytes], Domain]] = {
    "Allowances": allowances_domain,
    "Anchors": anchors_domain,
    "ConsentRegistry": registry_domain,
    "EnergyToken": energy_domain,
    "Market": market_domain,
    "NetSettlement": net_settlement_domain,
}
CASES = [(contract, case) for contract, part in SHARED["contracts"].items() for case in part["vectors"]]


@pytest.mark.parametrize(("contract", "case"), CASES, ids=[f"{c['primaryType']}-{c['case']}" for _, c in CASES])
async def test_vectors_shared_with_the_contract(contract: str, case: dict[str, Any]) -> None:
    """contracts.md, proof: Python and Solidity share the EIP-712 vectors; types, hashes and signatures alike."""
    shared = SHARED["contracts"][contract]
    values = shared["domain"]
    domain = DOMAINS[contract](values["chainId"], bytes.fromhex(values["verifyingContract"][2:]))
    assert "0x" + domain.separator().hex() == shared["domainSeparator"]
    cls = next(cls for cls, struct in STRUCTS.items() if struct.name == case["primaryType"])
    struct = STRUCTS[cls]
    assert struct.type_string == case["type"]
    assert struct.type_document() == case["fields"]
    assert "0x" + struct.type_hash.hex() == case["typeHash"]
    document = {
        "types": {
            "EIP712Domain": typed_data(MESSAGES[0], domain)["types"]["EIP712Domain"],
            struct.name: case["fields"],
        },
        "primaryType": struct.name,
        "domain": values,
        "message": case["message"],
    }
    message, read = from_typed_data(document)
    assert read == domain
    assert "0x" + struct.hash(message).hex() == case["structHash"]
    assert "0x" + digest(message, domain).hex() == case["digest"]
    for entry in case["signatures"]:
        signature = bytes.fromhex(entry["signature"][2:])
        verify(message, domain, signature, bytes.fromhex(entry["address"][2:]))
        key = next(key for key in SHARED["keys"].values() if key["address"] == entry["address"])
        ours = LocalSigner(bytes.fromhex(key["privateKey"][2:]))
        assert await ours.sign_message(message, domain) == signature, "RFC 6979 leaves no choice"


def test_the_shared_vectors_cover_every_message_of_a_contract() -> None:
    names = {struct.name for cls, struct in STRUCTS.items() if cls not in (ParcelSeal, Statement)}
    assert {case["primaryType"] for _, case in CASES} == names
    assert set(DOMAINS) == set(SHARED["contracts"])


@pytest.mark.parametrize("message", MESSAGES, ids=NAMES)
def test_typed_data_round_trip(message: Message) -> None:
    document = json.loads(json.dumps(typed_data(message, DOMAIN)))
    assert from_typed_data(document) == (message, DOMAIN)
    plain = parcel_domain(5)
    assert from_typed_data(typed_data(message, plain)) == (message, plain)


@pytest.mark.parametrize("message", MESSAGES, ids=NAMES)
async def test_any_wallet_signs_the_json(message: Message) -> None:
    signer = identity().wallet()
    signature = await signer.sign_message(message, DOMAIN)
    document = json.loads(json.dumps(typed_data(message, DOMAIN)))
    theirs = Account.sign_typed_data(signer.to_bytes(), full_message=document)
    assert bytes(theirs.signature) == signature
    verify(message, DOMAIN, signature, signer.address)
    assert recover(message, DOMAIN, signature) == signer.address


def mutate(path: tuple[str, ...], value: object) -> dict[str, Any]:
    document = copy.deepcopy(typed_data(MESSAGES[4], DOMAIN))
    target: Any = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "names"),
    [
        (("message", "owner"), "0x" + "01" * 19, "Grant.owner"),
        (("message", "owner"), "01" * 20, "Grant.owner"),
        (("message", "owner"), "0x" + "zz" * 20, "Grant.owner"),
        (("message", "owner"), "0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "EIP-55"),
        (("message", "owner"), None, "Grant.owner"),
        (("message", "sids"), "0x", "Grant.sids"),
        (("message", "sids"), ["0x" + "00" * 32, "0x00"], re.escape("Grant.sids[1]")),
        (("message", "start"), -1, "Grant.start"),
        (("message", "start"), 2**40, "Grant.start: does not fit uint40"),
        (("message", "start"), 1.0, "Grant.start"),
        (("message", "start"), True, "Grant.start"),
        (("message", "start"), "01", "Grant.start"),
        (("message", "start"), "\u0661", "Grant.start"),
        (("message", "start"), "0x10", "Grant.start"),
        (("message", "nonce"), str(2**256), "Grant.nonce"),
        (("message", "nonce"), "9" * 5000, "Grant.nonce"),
        (("message", "purposeTag"), 2**32, "Grant.purposeTag"),
        (("message", "extra"), 1, "unknown field 'extra'"),
        (("domain", "chainId"), 0, "chainId"),
        (("domain", "chainId"), 2**53, "chainId"),
        (("domain", "verifyingContract"), "0x00", "EIP712Domain.verifyingContract"),
        (("domain", "name"), "", "EIP712Domain"),
        (("domain", "name"), "\ud800", "EIP712Domain.name"),
        (("domain", "salt"), "0x00", "unknown field 'salt'"),
        (("primaryType",), "Mint", "primaryType"),
        (("primaryType",), ["Grant"], "primaryType"),
        (("primaryType",), "Revoke", "types"),
        (("types", "Grant"), [], "types.Grant"),
        (("types", "EIP712Domain"), [], "types.EIP712Domain"),
        (("types", "Person"), [], "unknown field 'Person'"),
        (("types",), [], "types"),
        (("message",), None, "Grant: expected an object"),
        (("domain",), 7, "EIP712Domain: expected an object"),
        (("more",), 1, "unknown field 'more'"),
    ],
)
def test_foreign_documents_are_refused_by_name(path: tuple[str, ...], value: object, names: str) -> None:
    with pytest.raises(MessageError, match=names):
        from_typed_data(mutate(path, value))


@pytest.mark.parametrize("field", [field.name for field in STRUCTS[Grant].fields])
def test_a_missing_field_is_named(field: str) -> None:
    document = copy.deepcopy(typed_data(MESSAGES[4], DOMAIN))
    del document["message"][field]
    with pytest.raises(MessageError, match=f"{field} is missing"):
        from_typed_data(document)


def test_types_in_another_order_are_another_message() -> None:
    document = copy.deepcopy(typed_data(MESSAGES[4], DOMAIN))
    document["types"]["Grant"].reverse()
    with pytest.raises(MessageError, match=re.escape("types.Grant")):
        from_typed_data(document)


@pytest.mark.parametrize("document", [None, [], "x", 5, {}, {"types": {}}])
def test_not_a_document(document: object) -> None:
    with pytest.raises(MessageError):
        from_typed_data(document)


def test_addresses_without_checksum_are_accepted() -> None:
    document = mutate(("message", "owner"), "0x" + "ab" * 20)
    assert from_typed_data(document)[0] == dataclasses.replace(MESSAGES[4], owner=b"\xab" * 20)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((OWNER, ID, b"\x00" * 31), "Revoke.sid"),
        ((OWNER.hex(), ID, ID), "Revoke.account"),
        ((bytearray(OWNER), ID, ID), "Revoke.account"),
    ],
)
def test_messages_check_their_widths_when_made(values: tuple[Any, ...], names: str) -> None:
    with pytest.raises(MessageError, match=names):
        Revoke(*values)


def test_lists_are_tuples_and_bases_are_not_messages() -> None:
    with pytest.raises(MessageError, match=re.escape("Grant.sids")):
        Grant(OWNER, OWNER, ID, [ID], 0, 0, 0, ID, 0, 0)  # type: ignore[arg-type]
    with pytest.raises(MessageError, match="not a message"):
        Message()
    with pytest.raises(MessageError, match=re.escape("PauseSource.paused")):
        PauseSource(OWNER, 1, 1, 0, 0)  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        MESSAGES[5].account = OWNER  # type: ignore[attr-defined]


@given(st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32), st.integers(1, 2**53 - 1))
def test_every_field_and_the_domain_change_the_digest(epoch: int, commit_hash: bytes, chain_id: int) -> None:
    domain = registry_domain(chain_id, OWNER)
    message = StreamCommit(ID, epoch, commit_hash)
    found = digest(message, domain)
    assert found == reference_digest(message, domain)
    assert found != digest(dataclasses.replace(message, sid=OTHER_ID), domain)
    assert found != digest(dataclasses.replace(message, epoch=epoch ^ 1), domain)
    assert found != digest(message, registry_domain(chain_id, bytes(20)))
    assert found != digest(message, dataclasses.replace(domain, version="2"))


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=5), st.integers(0, 2**256 - 1), st.integers(0, 2**40 - 1))
def test_grants_of_any_size_agree_with_eth_account(sids: list[bytes], nonce: int, start: int) -> None:
    message = Grant(OWNER, OWNER, ID, tuple(sids), start, 2**40 - 1, 2**32 - 1, ID, nonce, start)
    assert digest(message, DOMAIN) == reference_digest(message, DOMAIN)
    assert from_typed_data(json.loads(json.dumps(typed_data(message, DOMAIN)))) == (message, DOMAIN)


async def test_signatures_are_canonical_or_refused() -> None:
    """contracts.md: low s enforced; the other spelling of a valid signature is not a signature."""
    signer, message = identity().wallet(), MESSAGES[5]
    signature = await signer.sign_message(message, DOMAIN)
    s = int.from_bytes(signature[32:64], "big")
    assert s <= ORDER // 2
    high = signature[:32] + (ORDER - s).to_bytes(32, "big") + bytes([55 - signature[64]])
    for bad in (
        high,
        signature[:64],
        signature + b"\x00",
        b"",
        signature[:64] + bytes([signature[64] - 27]),
        signature[:64] + b"\x1d",
        bytes(32) + signature[32:],
        signature[:32] + bytes(32) + signature[64:],
        ORDER.to_bytes(32, "big") + signature[32:],
        b"\xff" * 65,
    ):
        with pytest.raises(SignatureError):
            recover(message, DOMAIN, bad)


@pytest.mark.parametrize("v", [0, 1, 26, 29, 30, 37, 255])
def test_other_recovery_numbers_are_refused_by_name(v: int) -> None:
    with pytest.raises(SignatureError, match="v must be 27 or 28"):
        recover(MESSAGES[5], DOMAIN, b"\x01" * 64 + bytes([v]))


async def test_signature_is_bound_to_message_domain_and_signer() -> None:
    signer, other, message = identity().wallet(), identity().device(), MESSAGES[5]
    signature = await signer.sign_message(message, DOMAIN)
    verify(message, DOMAIN, signature, signer.address)
    attacks: list[tuple[Message, Domain, bytes]] = [
        (message, DOMAIN, other.address),
        (message, registry_domain(1, b"\x0c" * 20), signer.address),
        (message, registry_domain(31337, b"\x0d" * 20), signer.address),
        (MESSAGES[2], DOMAIN, signer.address),
    ]
    for body, domain, who in attacks:
        with pytest.raises(SignatureError):
            verify(body, domain, signature, who)


@given(st.integers(0, 64), st.integers(1, 255))
def test_any_changed_byte_of_a_signature_is_refused(position: int, flip: int) -> None:
    key = LocalSigner(b"\x07" * 32)
    message = MESSAGES[5]
    raw = PrivateKey(key.to_bytes()).sign_recoverable(digest(message, DOMAIN), hasher=None)
    signature = bytearray(raw[:64] + bytes([raw[64] + 27]))
    signature[position] ^= flip
    with pytest.raises(SignatureError):
        verify(message, DOMAIN, bytes(signature), key.address)


def test_ids_are_abi_encoded() -> None:
    assert stream_id(31337, OWNER, b"\x05" * 20, ID) == keccak(
        encode(["uint256", "address", "address", "bytes32"], [31337, OWNER, b"\x05" * 20, ID])
    )
    assert device_hash(ID, OWNER, b"\x05" * 20) == keccak(
        encode(["bytes32", "address", "address"], [ID, OWNER, b"\x05" * 20])
    )
    assert name_hash(ID, "gas/1h") == keccak(ID + b"gas/1h")


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (name_hash, (ID[1:], "x")),
        (name_hash, (ID, "\ud800")),
        (device_hash, (ID, OWNER, ID)),
        (stream_id, (-1, OWNER, OWNER, ID)),
        (stream_id, (2**256, OWNER, OWNER, ID)),
    ],
)
def test_ids_of_wrong_widths(function: Callable[..., bytes], values: tuple[Any, ...]) -> None:
    with pytest.raises(MessageError):
        function(*values)
