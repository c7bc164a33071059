"""The questions the ledger asks a chain, typed. One endpoint and a group of endpoints answer the same questions."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

from node.ledger import wire
from node.ledger.errors import RpcGarbled
from node.ledger.headers import Header
from node.ledger.wire import Block, RawLog, Receipt

__all__ = ["At", "ChainReader"]

# A height, a block hash (EIP-1898) or a tag: latest, pending, safe, finalized, earliest.
At = int | bytes | str


def _tag(at: At) -> Any:
    if isinstance(at, int):
        return wire.quantity_hex(at)
    return {"blockHash": wire.data_hex(at)} if isinstance(at, bytes) else at


class ChainReader(abc.ABC):
    """Typed JSON-RPC calls over ``request``. All raise RpcError; addresses are bytes20, hashes bytes32, money wei."""

    @abc.abstractmethod
    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """Make one call and return its result. Raises RpcUnreachable, RpcGarbled, RpcRefused, WrongChain."""

    async def head(self) -> Header:
        """Return the newest block."""
        found = await self.block("latest")
        if found is None:
            raise RpcGarbled("the endpoint has no newest block")
        return found.header

    async def block(self, at: At) -> Block | None:
        """Return a block by height, hash or tag; None where the endpoint has no such block."""
        if isinstance(at, bytes):
            answer = await self.request("eth_getBlockByHash", [wire.data_hex(at), False])
        else:
            answer = await self.request("eth_getBlockByNumber", [_tag(at), False])
        if answer is None:
            return None
        found = wire.block(answer)
        if (isinstance(at, int) and found.header.number != at) or (isinstance(at, bytes) and found.header.hash != at):
            raise RpcGarbled("the endpoint returned another block than the one asked for")
        return found

    async def logs(self, address: bytes, first: int, last: int, topics: Sequence[bytes] = ()) -> tuple[RawLog, ...]:
        """Return the logs of a contract in the heights ``first`` to ``last``, both included, in the order answered.

        ``topics`` (bytes32) must match the first topics of a log.

        An endpoint behind ``last`` answers without an error and without the logs it does not have yet.
        """
        query: dict[str, Any] = {
            "address": wire.address_hex(address),
            "fromBlock": wire.quantity_hex(first),
            "toBlock": wire.quantity_hex(last),
        }
        if topics:
            query["topics"] = [wire.data_hex(topic) for topic in topics]
        return self._logs(await self.request("eth_getLogs", [query]))

    async def logs_of_block(self, address: bytes, block_hash: bytes) -> tuple[RawLog, ...]:
        """Return the logs of a contract in one block, named by its hash. Raises RpcRefused for an unknown block."""
        query = {"address": wire.address_hex(address), "blockHash": wire.data_hex(block_hash)}
        return self._logs(await self.request("eth_getLogs", [query]))

    @staticmethod
    def _logs(answer: Any) -> tuple[RawLog, ...]:
        if not isinstance(answer, list):
            raise RpcGarbled("expected a list of logs")
        return tuple(wire.log(entry) for entry in answer)

    async def call(self, to: bytes, calldata: bytes, *, sender: bytes | None = None, at: At = "latest") -> bytes:
        """Run a call without a transaction. Raises RpcRefused with the revert data in ``data``."""
        query: dict[str, Any] = {"to": wire.address_hex(to), "data": wire.data_hex(calldata)}
        if sender is not None:
            query["from"] = wire.address_hex(sender)
        return wire.data(await self.request("eth_call", [query, _tag(at)]))

    async def estimate_gas(self, to: bytes, calldata: bytes, *, sender: bytes, value: int = 0) -> int:
        """Return the gas a transaction would need. Raises RpcRefused with the revert data in ``data``."""
        query = {
            "from": wire.address_hex(sender),
            "to": wire.address_hex(to),
            "data": wire.data_hex(calldata),
            "value": wire.quantity_hex(value),
        }
        return wire.quantity(await self.request("eth_estimateGas", [query]))

    async def code(self, address: bytes, *, at: At = "latest") -> bytes:
        """Return the deployed code, empty where there is none."""
        return wire.data(await self.request("eth_getCode", [wire.address_hex(address), _tag(at)]))

    async def balance(self, address: bytes, *, at: At = "latest") -> int:
        """Return the balance in wei."""
        return wire.quantity(await self.request("eth_getBalance", [wire.address_hex(address), _tag(at)]))

    async def nonce(self, address: bytes, *, at: At = "latest") -> int:
        """Return the next nonce: the number of included transactions of this address."""
        return wire.quantity(await self.request("eth_getTransactionCount", [wire.address_hex(address), _tag(at)]))

    async def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """Return the receipt, None while the transaction is in no block."""
        answer = await self.request("eth_getTransactionReceipt", [wire.data_hex(transaction_hash)])
        return None if answer is None else wire.receipt(answer)

    async def priority_fee(self) -> int:
        """Return the tip per gas that the endpoint suggests, in wei."""
        return wire.quantity(await self.request("eth_maxPriorityFeePerGas", []))

    async def send_raw(self, raw: bytes) -> bytes:
        """Broadcast a signed transaction and return its hash. Safe to repeat. Raises RpcRefused."""
        return wire.fixed(await self.request("eth_sendRawTransaction", [wire.data_hex(raw)]), 32)
