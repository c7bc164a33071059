"""The shared EIP-712 vectors, from the Python side: the JSON that a wallet gets hashes to what the contract checks.

contracts.md, Proof: Python and Solidity share the vectors. contracts/test/Vectors.t.sol reads the same file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from contracts.bindings import allowances, anchors, consent_registry, energy_token, market, net_settlement

FILE = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "eip712.json").read_text())
DOMAIN_FIELDS = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0

CASES = [(contract, vector) for contract, part in FILE["contracts"].items() for vector in part["vectors"]]
each_vector = pytest.mark.parametrize(
    ("contract", "vector"), CASES, ids=[f"{vector['primaryType']}-{vector['case']}" for _, vector in CASES]
)
BINDINGS: dict[str, Any] = {
    "ConsentRegistry": consent_registry,
    "EnergyToken": energy_token,
    "Market": market,
    "NetSettlement": net_settlement,
    "Anchors": anchors,
    "Allowances": allowances,
}
# Two messages with the same fields share a struct.
STRUCTS = {"Offer": "Order", "Request": "Order"}
# ERC-2612 passes the fields one by one: there is no struct of them.
NO_STRUCT = {"Permit"}


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def wallet_document(contract: str, vector: dict[str, Any]) -> dict[str, Any]:
    """The JSON of eth_signTypedData_v4."""
    return {
        "types": {"EIP712Domain": DOMAIN_FIELDS, vector["primaryType"]: vector["fields"]},
        "primaryType": vector["primaryType"],
        "domain": FILE["contracts"][contract]["domain"],
        "message": {
            field["name"]: int(value) if field["type"].startswith("uint") else value
            for field in vector["fields"]
            for value in [vector["message"][field["name"]]]
        },
    }


@each_vector
def test_a_wallet_signs_the_same_digest(contract: str, vector: dict[str, Any]) -> None:
    signable = encode_typed_data(full_message=wallet_document(contract, vector))
    assert signable.header == unhex(FILE["contracts"][contract]["domainSeparator"])
    assert signable.body == unhex(vector["structHash"])
    assert keccak(b"\x19\x01" + signable.header + signable.body) == unhex(vector["digest"])


@each_vector
def test_the_type_string_is_the_fields(contract: str, vector: dict[str, Any]) -> None:
    inside = ",".join(f"{field['type']} {field['name']}" for field in vector["fields"])
    assert vector["type"] == f"{vector['primaryType']}({inside})"
    assert keccak(text=vector["type"]) == unhex(vector["typeHash"])


@each_vector
def test_signatures_are_canonical_and_recover(contract: str, vector: dict[str, Any]) -> None:
    for entry in vector["signatures"]:
        raw = unhex(entry["signature"])
        assert len(raw) == 65
        assert raw[64] in (27, 28)
        assert 0 < int.from_bytes(raw[32:64], "big") <= HALF_ORDER
        signable = encode_typed_data(full_message=wallet_document(contract, vector))
        assert Account.recover_message(signable, signature=raw).lower() == entry["address"]


@each_vector
def test_the_bindings_have_the_same_fields_and_encoding(contract: str, vector: dict[str, Any]) -> None:
    """The Python struct, built from the JSON by position, encodes to the bytes that Solidity decodes."""
    if vector["primaryType"] in NO_STRUCT:
        return
    bindings = BINDINGS[contract]
    values: list[Any] = []
    for field in vector["fields"]:
        value = vector["message"][field["name"]]
        if field["type"].endswith("[]"):
            values.append(tuple(unhex(part) for part in value))
        else:
            plain = {"bool": bool, "uint": int}.get(field["type"][:4], unhex)
            values.append(plain(value))
    kind = STRUCTS.get(vector["primaryType"], vector["primaryType"])
    struct = getattr(bindings, kind)(*values)
    name = "".join("_" + c.lower() if c.isupper() else c for c in kind).removeprefix("_")
    assert getattr(bindings, f"abi_{name}")(struct) == unhex(vector["encoded"])


@pytest.mark.parametrize("contract", FILE["contracts"])
def test_the_domain_separator_is_written_out(contract: str) -> None:
    domain = FILE["contracts"][contract]["domain"]
    assert keccak(text=FILE["domainType"]) == unhex(
        "0x8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f"
    )
    parts = [keccak(text=FILE["domainType"]), keccak(text=domain["name"]), keccak(text=domain["version"])]
    data = encode(["bytes32"] * 3 + ["uint256", "address"], [*parts, domain["chainId"], domain["verifyingContract"]])
    assert keccak(data) == unhex(FILE["contracts"][contract]["domainSeparator"])


@pytest.mark.parametrize(("contract", "messages"), [("ConsentRegistry", 9), ("EnergyToken", 8)])
def test_every_message_has_a_typical_and_an_extreme_case(contract: str, messages: int) -> None:
    part = FILE["contracts"][contract]
    cases = {(vector["primaryType"], vector["case"]) for vector in part["vectors"]}
    assert len(cases) == part["count"] == 2 * messages
    assert {case for _, case in cases} == {"typical", "extreme"}


def test_no_two_messages_share_a_hash() -> None:
    assert len({vector["digest"] for _, vector in CASES}) == len(CASES)
    # Some types are signed for more than one contract; the domain tells them apart.
    types = {vector["type"] for _, vector in CASES}
    assert len({vector["structHash"] for _, vector in CASES}) == 2 * len(types)
    assert len({vector["typeHash"] for _, vector in CASES}) == len(types)
