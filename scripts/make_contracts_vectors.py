"""Write tests/vectors/eip712.json: every message of every contract, hashed and signed.

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

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.message_types import ContractMessages  # noqa: E402
from scripts.message_types.consent import CONSENT  # noqa: E402
from scripts.message_types.energy import ENERGY  # noqa: E402
from scripts.message_types.market import ALLOWANCES, ANCHORS, MARKET, NET_SETTLEMENT  # noqa: E402

VECTORS = ROOT / "tests" / "vectors" / "eip712.json"
CHAIN_ID = 31337
DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
CONTRACTS = (CONSENT, ENERGY, MARKET, NET_SETTLEMENT, ANCHORS, ALLOWANCES)

PARTIES = ("owner", "newOwner", "reader", "writer", "device", "registrar", "holder", "receiver", "spender")
ROLES = (*PARTIES, "operator", "partner", "payer", "arbiter", "key")
TYPICAL = {"genesis": 1_760_000_000, "start": 1_760_000_000, "end": 2**40 - 1, "deadline": 1_760_086_400}
TYPICAL |= {"slotSeconds": 900, "purposeTag": 7, "nonce": 42, "epoch": 3}
TYPICAL |= {"source": 12, "initialCounter": 4_000, "maxPowerW": 30_000, "shares": 1_000_000, "index": 3}
TYPICAL |= {"oldFinal": 5_000, "newInitial": 0, "counterWh": 4_250, "meterTime": 1_760_000_900, "value": 1_000_000}
TYPICAL |= {"amount": 500, "wh": 2_000, "price": 250, "number": 2, "perDay": 5_000, "perContract": 500, "count": 250}
TYPICAL |= {"scope": 1, "period": 20_370, "maxDebitPerPeriod": 10_000, "validUntil": 1_791_536_000}
TYPICAL |= {"until": 1_791_536_000}


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
    if kind == "bool":
        return case == "typical"
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


def make_case(domain: dict[str, Any], signature: str, signers: tuple[str, ...], case: str) -> dict[str, Any]:
    """Return one vector."""
    name, fields = signature.partition("(")[0], fields_of(signature)
    message = {field["name"]: value(field, case) for field in fields}
    typed = {field["name"]: plain(field["type"], message[field["name"]]) for field in fields}
    signable = encode_typed_data(domain, {name: fields}, typed)
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


def make_contract(contract: ContractMessages) -> dict[str, Any]:
    """Return the vectors of one contract."""
    domain = {"name": contract.domain, "version": "1", "chainId": CHAIN_ID, "verifyingContract": contract.address}
    parts = [keccak(text=DOMAIN_TYPE), keccak(text=contract.domain), keccak(text="1"), CHAIN_ID, contract.address]
    cases = [
        make_case(domain, signature, signers, case)
        for signature, signers in contract.messages.items()
        for case in ("typical", "extreme")
    ]
    assert all(re.fullmatch(r"\w+\([\w\[\] ,]+\)", case["type"]) for case in cases)
    return {
        "domain": domain,
        "domainSeparator": "0x" + keccak(encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], parts)).hex(),
        "count": len(cases),
        "vectors": cases,
    }


def make() -> str:
    """Return the text of the file."""
    document = {
        "source": "Made by scripts/make_contracts_vectors.py with eth_account's encoder (EIP-712) and eth_abi.",
        "domainType": DOMAIN_TYPE,
        "keys": {role: {"privateKey": "0x" + private_key(role).hex(), "address": address(role)} for role in ROLES},
        "contracts": {contract.name: make_contract(contract) for contract in CONTRACTS},
    }
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
