"""A chain for twins: blocks and logs as the registry would emit them, encoded by eth_abi, with reorgs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from eth_abi.abi import encode

from keys.messages import Domain, Grant, StreamCommit, digest, registry_domain
from node.app.demo.evidence import Block, Log, Receipt
from node.app.demo.registrylog import topic

__all__ = ["DOMAIN", "REGISTRY", "Ledger"]

REGISTRY = bytes.fromhex("5fbdb2315678afecb367f032d93f642f64180aa3")
DOMAIN: Domain = registry_domain(31337, REGISTRY)


def _word(value: bytes) -> bytes:
    return value.rjust(32, b"\0")


@dataclass
class Ledger:
    """`pending` goes into the next block. `seen` has every block ever, `chain` those that stand."""

    delay: float = 0.05
    chain: list[Block] = field(default_factory=list)
    seen: list[Block] = field(default_factory=list)
    pending: list[Log] = field(default_factory=list)
    receipts: dict[bytes, Receipt] = field(default_factory=dict)
    _count: int = 0

    def emit(self, signature: str, topics: list[bytes], types: list[str], values: list[object]) -> None:
        """One transaction with one log."""
        self._count += 1
        transaction = hashlib.sha256(b"tx%d" % self._count).digest()
        self.pending.append(Log(transaction, (topic(signature), *map(_word, topics)), encode(types, values)))
        self.receipts[transaction] = Receipt(80_000, b"\x01\x02\x03\x04", True)

    def reverted(self) -> None:
        """A transaction without effect: paid for, and no log of it."""
        self._count += 1
        self.receipts[hashlib.sha256(b"tx%d" % self._count).digest()] = Receipt(30_000, b"\x01\x02\x03\x04", False)

    def mine(self, now: int) -> Block:
        logs, self.pending = tuple(self.pending), []
        return self._append(now, logs)

    def _append(self, now: int, logs: tuple[Log, ...]) -> Block:
        parent = self.chain[-1].hash if self.chain else bytes(32)
        number = len(self.chain)
        name = hashlib.sha256(parent + number.to_bytes(8, "big") + len(self.seen).to_bytes(8, "big")).digest()
        block = Block(number, name, parent, now, now + self.delay, logs)
        self.chain.append(block)
        self.seen.append(block)
        return block

    def reorg(self, depth: int, now: int) -> None:
        """As anvil does it: the newest blocks become empty ones."""
        del self.chain[-depth:]
        for _ in range(depth):
            self._append(now, ())

    # Events

    def paired(self, owner: bytes, device: bytes) -> None:
        self.emit("DevicePaired(address,bytes32,address)", [owner, b"\x11" * 32], ["address"], [device])

    def registered(self, sid: bytes, owner: bytes, writer: bytes, name_hash: bytes, times: tuple[int, int]) -> None:
        self.emit(
            "StreamRegistered(bytes32,address,address,bytes32,bytes32,uint40,uint32)",
            [sid, owner, writer],
            ["bytes32", "bytes32", "uint40", "uint32"],
            [name_hash, bytes(32), *times],
        )

    def granted(self, grant: Grant) -> bytes:
        grant_id = digest(grant, DOMAIN)
        terms = grant.start + grant.end * 2**40 + grant.purpose_tag * 2**80
        self.emit(
            "Granted(bytes32,address,address,bytes32,bytes32,uint256,bytes32[])",
            [grant_id, grant.owner, grant.reader],
            ["bytes32", "bytes32", "uint256", "bytes32[]"],
            [grant.reader_key_hash, grant.text_hash, terms, list(grant.sids)],
        )
        return grant_id

    def revoked(self, grant_id: bytes, account: bytes) -> None:
        self.emit("Revoked(bytes32,address,bytes32)", [grant_id, account, bytes(32)], [], [])

    def committed(self, sid: bytes, epoch: int, commit_hash: bytes) -> None:
        self.emit("Committed(bytes32,uint64,bytes32)", [sid], ["uint64", "bytes32"], [epoch, commit_hash])

    def was_seen(self, message: StreamCommit) -> bool:
        """Whether a block ever had this commit."""
        wanted = encode(["uint64", "bytes32"], [message.epoch, message.commit_hash])
        return any(log.data == wanted for block in self.seen for log in block.logs)
