"""Write tests/vectors/eip712.json: every message of the ConsentRegistry, hashed and signed.

The hashes come from eth_account's own EIP-712 encoder and the encodings from eth_abi, neither of which shares code with
the contract or with `keys`; Solidity and Python tests compare against the result. Keys and values are fixed and
signatures are RFC 6979, so the file is the same wherever it is made. `--check` compares instead of writing.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

VECTORS = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "eip712.json"
DOMAIN = {
    "name": "Wattpact ConsentRegistry",
    "version": "1",
    "chainId": 31337,
    "verifyingContract": "0x1234567890abcdef1234567890abcdef12345678",
}
DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"

# The signing types, and who signs.
MESSAGES: dict[str, tuple[str, ...]] = {
    "RegisterStream(address owner,bytes32 nameHash,address writer,bytes32 streamKeyHash,uint40 genesis,"
    "uint32 slotSeconds,uint256 nonce,uint40 deadline)": ("owner", "writer"),
    "SetWriter(address owner,bytes32 sid,address writer,bytes32 streamKeyHash,uint256 nonce,uint40 deadline)": (
        "owner",
        "writer",
    ),
    "PairDevice(address owner,bytes32 deviceHash,uint256 nonce,uint40 deadline)": ("owner", "device"),
    "UnpairDevice(address account,bytes32 deviceHash,bytes32[] sids,uint256 nonce,uint40 deadline)": ("account",),
    "Grant(address owner,address reader,bytes32 readerKeyHash,bytes32[] sids,uint40 start,uint40 end,"
    "uint32 purposeTag,bytes32 textHash,uint256 nonce,uint40 deadline)": ("owner",),
    "Revoke(address account,bytes32 grantId,bytes32 sid)": ("account",),
    "RegisterKey(address reader,bytes32 grantId,bytes32 readerKeyHash,uint256 nonce,uint40 deadline)": ("reader",),
    "StreamCommit(bytes32 sid,uint64 epoch,bytes32 commitHash)": ("writer",),
    "TransferStream(address owner,address newOwner,bytes32 sid,uint256 nonce,uint40 deadline)": ("owner", "newOwner"),
}
ROLES = ("owner", "newOwner", "reader", "writer", "device")
TYPICAL = {"genesis": 1_760_000_000, "start": 1_760_000_000, "end": 2**40 - 1, "deadline": 1_760_086_400}
TYPICAL |= {"slotSeconds": 900, "purposeTag": 7, "nonce": 42, "epoch": 3}


def private_key(role: str) -> bytes:
    """Return the test key of a role."""
    return keccak(text=f"wattpact test vector {role}")


def address(role: str) -> str:
    """Return the address of a role in lower case; `account` is the owner."""
    return str(Account.from_key(private_key("owner" if role == "account" else role)).address).lower()


def fields_of(signature: str) -> list[dict[str, str]]:
    """Return the fields of an EIP-712 type as wallets expect them."""
    inside = signature[signature.index("(") + 1 : -1]
    return [{"name": part.split()[1], "type": part.split()[0]} for part in inside.split(",")]


def value(field: dict[str, str], case: str) -> Any:
    """Return a field's value in a case: `typical`, or `extreme` with the largest numbers and other lengths."""
    name, kind = field["name"], field["type"]
    if kind == "address":
        return address(name)
    if kind == "bytes32[]":
        count = {"typical": 2, "extreme": 0}[case]
        return ["0x" + keccak(text=f"sid {index}").hex() for index in range(count)]
    if kind == "bytes32":
        return "0x" + (keccak(text=name) if case == "typical" else b"\xff" * 32).hex()
    bits = int(kind.removeprefix("uint"))
    # A string where JSON numbers lose digits; wallets take both.
    number = TYPICAL[name] if case == "typical" else 2**bits - 1
    return str(number) if bits > 53 else number


def plain(kind: str, given: Any) -> Any:
    """Return a JSON value as eth_abi takes it."""
    if kind.endswith("[]"):
        return [plain(kind.removesuffix("[]"), part) for part in given]
    if kind == "bytes32":
        return bytes.fromhex(given.removeprefix("0x"))
    return int(given) if kind.startswith("uint") else given


def make_case(signature: str, signers: tuple[str, ...], case: str) -> dict[str, Any]:
    """Return one vector."""
    name, fields = signature.partition("(")[0], fields_of(signature)
    message = {field["name"]: value(field, case) for field in fields}
    typed = {field["name"]: plain(field["type"], message[field["name"]]) for field in fields}
    signable = encode_typed_data(DOMAIN, {name: fields}, typed)
    types = ",".join(field["type"] for field in fields)
    signatures = []
    for role in signers:
        signed = Account.from_key(private_key("owner" if role == "account" else role)).sign_message(signable)
        signatures.append({"signer": role, "address": address(role), "signature": "0x" + signed.signature.hex()})
    return {
        "primaryType": name,
        "case": case,
        "type": signature,
        "fields": fields,
        "message": message,
        "encoded": "0x" + encode([f"({types})"], [tuple(typed.values())]).hex(),
        "typeHash": "0x" + keccak(text=signature).hex(),
        "structHash": "0x" + signable.body.hex(),
        "digest": "0x" + keccak(b"\x19\x01" + signable.header + signable.body).hex(),
        "signatures": signatures,
    }


def make() -> str:
    """Return the text of the file."""
    parts = [plain("bytes32", "0x" + keccak(text=DOMAIN_TYPE).hex()), keccak(text=str(DOMAIN["name"]))]
    parts += [keccak(text=str(DOMAIN["version"])), DOMAIN["chainId"], DOMAIN["verifyingContract"]]
    cases = [
        make_case(signature, signers, case)
        for signature, signers in MESSAGES.items()
        for case in ("typical", "extreme")
    ]
    document = {
        "source": "Made by scripts/make_contracts_vectors.py with eth_account's encoder (EIP-712) and eth_abi.",
        "domain": DOMAIN,
        "domainType": DOMAIN_TYPE,
        "domainSeparator": "0x" + keccak(encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], parts)).hex(),
        "keys": {role: {"privateKey": "0x" + private_key(role).hex(), "address": address(role)} for role in ROLES},
        "count": len(cases),
        "vectors": cases,
    }
    assert all(re.fullmatch(r"\w+\([\w\[\] ,]+\)", case["type"]) for case in cases)
    return json.dumps(document, indent=1) + "\n"


def main() -> int:
    """Write the file, or compare it."""
    made = make()
    if "--check" in sys.argv[1:]:
        return 0 if VECTORS.read_text() == made else 1
    VECTORS.parent.mkdir(parents=True, exist_ok=True)
    VECTORS.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
