"""Measure what every message costs, in receipts of whole transactions on anvil, and write contracts/gas.json.

    python scripts/measure_gas.py            measure and write
    python scripts/measure_gas.py --print    measure and print

Each row has the gas, the bound that the design asks for (null where it names none) and the number of another system
beside it. `each` rows are whole transactions divided by the entries in them, rounded up. Keys, times and addresses are
fixed and signatures are RFC 6979, so that the numbers are the same in every run, to the last zero byte.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.types import TxReceipt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from contracts import deployment_call  # noqa: E402
from contracts.bindings import consent_registry as registry  # noqa: E402
from contracts.items import grant_item  # noqa: E402

OUT = ROOT / "contracts" / "gas.json"
VECTORS = ROOT / "tests" / "vectors" / "eip712.json"
OPEN_END = 2**40 - 1
GENESIS = 1_760_000_000
MANY = 100
STREAMR = "Streamr V5 StreamRegistry"

Signer = LocalAccount | None


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
    """A deployed registry, and what it takes to sign and send to it."""

    web3: Web3
    address: bytes = field(init=False)
    types: dict[str, list[dict[str, str]]] = field(init=False)
    nonces: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Deploy, and learn the message types from the shared vectors."""
        creation = deployment_call()
        self.address = creation.address
        self.types = {case["primaryType"]: case["fields"] for case in json.loads(VECTORS.read_text())["vectors"]}
        if not self.web3.eth.get_code(to_checksum_address(creation.address)):
            self.send(creation.data, to=creation.to)

    def account(self, name: str) -> LocalAccount:
        """Return a funded account of a name."""
        account: LocalAccount = Account.from_key(keccak(text=f"gas {name}"))
        self.web3.provider.make_request("anvil_setBalance", [account.address, hex(10**20)])  # type: ignore[arg-type]
        return account

    def sign(self, account: LocalAccount, message: Any) -> bytes:
        """Sign a message for this registry with eth_account's encoder."""
        name = type(message).__name__
        fields = self.types[name]
        values = {part["name"]: plain(getattr(message, snake(part["name"]))) for part in fields}
        domain = {"name": "Wattpact ConsentRegistry", "version": "1", "chainId": self.web3.eth.chain_id}
        domain["verifyingContract"] = to_checksum_address(self.address)
        return bytes(account.sign_message(encode_typed_data(domain, {name: fields}, values)).signature)

    def nonce(self, account: LocalAccount) -> int:
        """Return the account's next unused message nonce, counted from 0 so that words fill up."""
        key = bytes.fromhex(account.address[2:])
        self.nonces[key] = self.nonces.get(key, -1) + 1
        return self.nonces[key]

    def send(self, data: bytes, sender: Signer = None, to: bytes | None = None) -> TxReceipt:
        """Send a transaction, from a relay unless an account is given, and insist that it succeeds."""
        sender = sender or self.account("relay")
        transaction: dict[str, Any] = {
            "to": to_checksum_address(to or self.address),
            "data": data,
            "gas": 16_000_000,
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
        """Send to the registry and return the gas used."""
        return int(self.send(data, sender)["gasUsed"])


def snake(name: str) -> str:
    """Return a Solidity name in the Python spelling."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def raw(account: LocalAccount) -> bytes:
    """Return the account's 20 bytes."""
    return bytes.fromhex(account.address[2:])


class Story:
    """One owner, one writer, some streams: the state in which messages are measured."""

    def __init__(self, bench: Bench) -> None:
        """Create the accounts."""
        self.bench = bench
        self.owner = bench.account("owner")
        self.writer = bench.account("writer")
        self.reader = bench.account("reader")
        self.deadline = GENESIS + 86_400

    def stream(self, name: str) -> tuple[bytes, int]:
        """Register a stream; return its id and the gas."""
        name_hash = keccak(text=name)
        m = registry.RegisterStream(
            owner=raw(self.owner),
            name_hash=name_hash,
            writer=raw(self.writer),
            stream_key_hash=keccak(text="stream key"),
            genesis=self.deadline - 172_800,
            slot_seconds=900,
            nonce=self.bench.nonce(self.owner),
            deadline=self.deadline,
        )
        data = registry.encode_register_stream(m, self.bench.sign(self.owner, m), self.bench.sign(self.writer, m))
        where = [self.bench.web3.eth.chain_id, self.bench.address, raw(self.owner), name_hash]
        sid = keccak(encode(["uint256", "address", "address", "bytes32"], where))
        return sid, self.bench.gas(data)

    def make_grant(self, sids: list[bytes], reader: LocalAccount | None = None) -> registry.Grant:
        """Return a grant of this owner, open-ended."""
        return registry.Grant(
            owner=raw(self.owner),
            reader=raw(reader or self.reader),
            reader_key_hash=keccak(text="reader key"),
            sids=tuple(sids),
            start=self.deadline - 86_400,
            end=OPEN_END,
            purpose_tag=7,
            text_hash=keccak(text="what was accepted"),
            nonce=self.bench.nonce(self.owner),
            deadline=self.deadline,
        )

    def grant_id(self, m: registry.Grant) -> bytes:
        """Return a grant's id as the registry computes it."""
        question = registry.encode_digest_of(5, registry.abi_grant(m))
        answer = self.bench.web3.eth.call({"to": to_checksum_address(self.bench.address), "data": question})
        return registry.decode_digest_of(bytes(answer))

    def granted(self, sids: list[bytes]) -> bytes:
        """Record a grant and return its id."""
        m = self.make_grant(sids)
        self.bench.gas(registry.encode_grant(m, self.bench.sign(self.owner, m)))
        return self.grant_id(m)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of gas.json."""

    name: str
    gas: int
    bound: int | None = None
    anchor: str = ""


def measure_streams(story: Story, sid: bytes) -> Iterator[Row]:
    """Measure commits, writers and transfers."""
    bench = story.bench
    for epoch, name, bound, direct in (
        (1, "commit, direct, first", None, True),
        (2, "commit, direct, second and later", 30_000, True),
        (3, "commit, relayed", 37_000, False),
    ):
        m = registry.StreamCommit(sid, epoch, keccak(text=f"commit {epoch}"))
        sig = b"" if direct else bench.sign(story.writer, m)
        gas = bench.gas(registry.encode_commit(m, sig), story.writer if direct else None)
        yield Row(name, gas, bound, "a flat rekey cannot fit one transaction beyond 358 readers")
    writer = bench.account("next writer")
    change = registry.SetWriter(
        raw(story.owner), sid, raw(writer), keccak(text="key"), bench.nonce(story.owner), story.deadline
    )
    signatures = bench.sign(story.owner, change), bench.sign(writer, change)
    yield Row("set writer, relayed", bench.gas(registry.encode_set_writer(change, *signatures)))
    heir = bench.account("heir")
    transfer = registry.TransferStream(raw(story.owner), raw(heir), sid, bench.nonce(story.owner), story.deadline)
    signatures = bench.sign(story.owner, transfer), bench.sign(heir, transfer)
    yield Row("transfer stream, relayed", bench.gas(registry.encode_transfer_stream(transfer, *signatures)))


def measure_devices(story: Story, sid: bytes) -> Iterator[Row]:
    """Measure pairing and unpairing."""
    bench, device, salt = story.bench, story.bench.account("device"), keccak(text="salt")
    device_hash = keccak(encode(["bytes32", "address", "address"], [salt, raw(story.owner), raw(device)]))
    pair = registry.PairDevice(raw(story.owner), device_hash, bench.nonce(story.owner), story.deadline)
    signatures = bench.sign(story.owner, pair), bench.sign(device, pair)
    yield Row("pair device, relayed", bench.gas(registry.encode_pair_device(pair, raw(device), salt, *signatures)))
    unpair = registry.UnpairDevice(raw(story.owner), device_hash, (sid,), bench.nonce(story.owner), story.deadline)
    gas = bench.gas(registry.encode_unpair_device(unpair, bench.sign(story.owner, unpair)))
    yield Row("unpair device with one stream, relayed", gas)


def measure_grants(story: Story, sids: list[bytes]) -> Iterator[Row]:
    """Measure grants, single and many."""
    bench = story.bench
    m = story.make_grant(sids[:1])
    gas = bench.gas(registry.encode_grant(m, bench.sign(story.owner, m)))
    yield Row("grant, relayed, nonce word in use", gas, 63_000, f"{STREAMR} 69,569 (direct)")
    m = story.make_grant(sids[:1])
    yield Row("grant, direct, nonce word in use", bench.gas(registry.encode_grant(m, b""), story.owner))
    m = story.make_grant(sids)
    gas = bench.gas(registry.encode_grant(m, bench.sign(story.owner, m)))
    yield Row(f"one grant over {MANY} streams, each", -(-gas // MANY), 25_700, f"{STREAMR} batch 37,866")
    items = []
    for index in range(MANY):
        m = story.make_grant(sids[:1], bench.account(f"reader {index}"))
        items.append(grant_item(m, bench.sign(story.owner, m)))
    gas = bench.gas(registry.encode_batch(items))
    yield Row(f"{MANY} signed grants in a batch, each", -(-gas // MANY), 39_000, f"{STREAMR} batch 37,866")


def measure_consent(story: Story, sids: list[bytes]) -> Iterator[Row]:
    """Measure revocations and reader keys."""
    bench, first, nothing = story.bench, sids[0], bytes(32)
    revoke: Callable[[bytes, bytes], registry.Revoke] = lambda grant_id, sid: registry.Revoke(  # noqa: E731
        raw(story.owner), grant_id, sid
    )
    m = revoke(story.granted([first]), first)
    gas = bench.gas(registry.encode_revoke(m, b""), story.owner)
    yield Row("revoke one stream, direct", gas, 24_500, f"{STREAMR} 48,578")
    m = revoke(story.granted([first]), first)
    gas = bench.gas(registry.encode_revoke(m, bench.sign(story.owner, m)))
    yield Row("revoke one stream, relayed", gas, 32_000)
    m = registry.Revoke(raw(story.reader), story.granted([first]), first)
    yield Row(
        "revoke one stream, by the reader, relayed", bench.gas(registry.encode_revoke(m, bench.sign(story.reader, m)))
    )
    m = revoke(story.granted(sids), nothing)
    gas = bench.gas(registry.encode_revoke(m, bench.sign(story.owner, m)))
    yield Row(f"one revoke over {MANY} streams, each", -(-gas // MANY), 6_300, f"{STREAMR} batch 15,862")
    m = revoke(story.granted([first]), nothing)
    yield Row("revoke all streams, direct", bench.gas(registry.encode_revoke(m, b""), story.owner))
    m = revoke(keccak(text="not known"), first)
    yield Row("revoke ahead of the grant, relayed", bench.gas(registry.encode_revoke(m, bench.sign(story.owner, m))))
    key = registry.RegisterKey(
        raw(story.reader), story.granted([first]), keccak(text="new key"), bench.nonce(story.reader), story.deadline
    )
    bench.gas(registry.encode_register_key(key, first, bench.sign(story.reader, key)))
    key = registry.RegisterKey(
        raw(story.reader), key.grant_id, keccak(text="newer key"), bench.nonce(story.reader), story.deadline
    )
    gas = bench.gas(registry.encode_register_key(key, first, bench.sign(story.reader, key)))
    yield Row("register reader key, relayed", gas)


def measure() -> list[Row]:
    """Run every message on a fresh anvil."""
    with anvil("--hardfork", "prague", "--gas-limit", "60000000") as web3:
        story = Story(Bench(web3))
        sids: list[bytes] = []
        rows: list[Row] = []
        for index in range(MANY):
            sid, gas = story.stream(f"stream {index}")
            sids.append(sid)
            if index == 1:
                rows.append(Row("register stream, relayed", gas))
        rows.extend(measure_grants(story, sids))
        rows.extend(measure_consent(story, sids))
        rows.extend(measure_devices(story, sids[-1]))
        rows.extend(measure_streams(story, sids[0]))
        return rows


def as_json(rows: list[Row]) -> str:
    """Return the text of gas.json."""
    lines = [json.dumps({"name": row.name, "gas": row.gas, "bound": row.bound, "anchor": row.anchor}) for row in rows]
    return "[\n " + ",\n ".join(lines) + "\n]\n"


def main() -> int:
    """Measure; write or print."""
    text = as_json(measure())
    if "--print" in sys.argv[1:]:
        print(text, end="")
    else:
        OUT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
