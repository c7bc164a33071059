"""A chain to measure on, accounts, signatures and receipts."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.types import TxReceipt

from contracts import deployment_call
from keys.messages import Domain, Message, digest

__all__ = ["GENESIS", "Bench", "Row", "Signer", "anvil", "plain", "raw", "snake"]

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors" / "eip712.json"
GENESIS = 1_760_000_000

Signer = LocalAccount | None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of gas.json."""

    name: str
    gas: int
    bound: int | None = None
    anchor: str = ""


@contextmanager
def anvil(*options: str) -> Iterator[Web3]:
    """Run the pinned anvil on a free port for as long as the block runs."""
    (program,) = sorted((ROOT / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil"))[:1]
    command = [str(program), "--port", "0", "--timestamp", str(GENESIS), *options]
    # A file, not a pipe: anvil reports every request and would stop when nobody empties the pipe.
    with tempfile.NamedTemporaryFile("w+") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield Web3(HTTPProvider(f"http://127.0.0.1:{_await_port(Path(log.name), process)}"))
        finally:
            process.terminate()


def _await_port(log: Path, process: subprocess.Popen[bytes]) -> int:
    while process.poll() is None:
        found = re.search(r"Listening on [\d.]+:(\d+)", log.read_text())
        if found:
            return int(found[1])
        time.sleep(0.02)
    raise SystemExit(f"anvil ended with {process.returncode}: {log.read_text()}")


def plain(value: Any) -> Any:
    """Return a message's field as eth_account and eth_abi take it."""
    return [bytes(part) for part in value] if isinstance(value, tuple) else value


@dataclass
class Bench:
    """A deployed contract, and what it takes to sign and send to it. `arguments` are those of its constructor."""

    web3: Web3
    contract: str = "ConsentRegistry"
    arguments: bytes = b""
    address: bytes = field(init=False)
    types: dict[str, list[dict[str, str]]] = field(init=False)
    nonces: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Deploy, and learn the message types from the shared vectors."""
        creation = deployment_call(self.contract, arguments=self.arguments)
        self.address = creation.address
        shared = json.loads(VECTORS.read_text())["contracts"].get(self.contract, {"vectors": []})
        self.types = {case["primaryType"]: case["fields"] for case in shared["vectors"]}
        if not self.web3.eth.get_code(to_checksum_address(creation.address)):
            self.send(creation.data, to=creation.to)

    def account(self, name: str) -> LocalAccount:
        """Return a funded account of a name."""
        account: LocalAccount = Account.from_key(keccak(text=f"gas {name}"))
        self.web3.provider.make_request("anvil_setBalance", [account.address, hex(10**20)])  # type: ignore[arg-type]
        return account

    def sign(self, account: LocalAccount, message: Any) -> bytes:
        """Sign a message for this contract with eth_account's encoder."""
        name = type(message).__name__
        fields = self.types[name]
        values = {part["name"]: plain(getattr(message, snake(part["name"]))) for part in fields}
        domain = {"name": f"Wattpact {self.contract}", "version": "1", "chainId": self.web3.eth.chain_id}
        domain["verifyingContract"] = to_checksum_address(self.address)
        return bytes(account.sign_message(encode_typed_data(domain, {name: fields}, values)).signature)

    def digest(self, message: Message) -> bytes:
        """Return a message's digest, which is its id."""
        return digest(message, Domain(f"Wattpact {self.contract}", "1", self.web3.eth.chain_id, self.address))

    def nonce(self, account: LocalAccount) -> int:
        """Return the account's next unused message nonce, counted from 0 so that words fill up."""
        key = bytes.fromhex(account.address[2:])
        self.nonces[key] = self.nonces.get(key, -1) + 1
        return self.nonces[key]

    def send(
        self,
        data: bytes,
        sender: Signer = None,
        to: bytes | None = None,
        *,
        gas: int = 16_000_000,
        create: bool = False,
    ) -> TxReceipt:
        """Send a transaction, from a relay unless an account is given, and insist that it succeeds."""
        sender = sender or self.account("relay")
        transaction: dict[str, Any] = {
            "to": "" if create else to_checksum_address(to or self.address),
            "data": data,
            "gas": gas,
            "chainId": self.web3.eth.chain_id,
            "nonce": self.web3.eth.get_transaction_count(sender.address),
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 1,
        }
        signed = sender.sign_transaction(transaction)
        receipt = self.web3.eth.wait_for_transaction_receipt(
            self.web3.eth.send_raw_transaction(signed.raw_transaction), poll_latency=0.01
        )
        if receipt["status"] != 1:
            raise SystemExit(f"a measured transaction failed: {receipt['transactionHash'].hex()}")
        return receipt

    def gas(self, data: bytes, sender: Signer = None) -> int:
        """Send to the contract and return the gas used."""
        return int(self.send(data, sender)["gasUsed"])


def snake(name: str) -> str:
    """Return a Solidity name in the Python spelling."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def raw(account: LocalAccount) -> bytes:
    """Return the account's 20 bytes."""
    return bytes.fromhex(account.address[2:])
