"""The questions the ledger asks a chain, typed. One endpoint and a group of endpoints answer the same questions."""

from __future__ import annotations

import abc
from collections.abc import Collection, Sequence
from typing import Any

from node.ledger import wire
from node.ledger.errors import RpcGarbled, RpcRefused
from node.ledger.headers import Header
from node.ledger.wire import Block, RawLog, Receipt, Spent

__all__ = ["Asked", "At", "ChainReader"]

# A height, a block hash (EIP-1898) or a tag: latest, pending, safe, finalized, earliest.
At = int | bytes | str
_SPAN = 2_048
"""Blocks in one question about a long range, to begin with."""
# A method and its parameters.
Asked = tuple[str, Sequence[Any]]


def _tag(at: At) -> Any:
    if isinstance(at, int):
        return wire.quantity_hex(at)
    return {"blockHash": wire.data_hex(at)} if isinstance(at, bytes) else at


def _asked(addresses: Sequence[bytes]) -> str | list[str]:
    """One address is asked for by itself, which every client understands."""
    found = [wire.address_hex(address) for address in addresses]
    return found[0] if len(found) == 1 else found


class ChainReader(abc.ABC):
    """Typed JSON-RPC calls over ``request``. All raise RpcError; addresses are bytes20, hashes bytes32, money wei."""

    @abc.abstractmethod
    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """Make one call and return its result. Raises RpcUnreachable, RpcGarbled, RpcRefused, WrongChain."""

    @abc.abstractmethod
    async def request_many(self, calls: Sequence[Asked]) -> list[Any]:
        """Make several calls at once and return their results in order.

        A call that the endpoint answers with an error has its RpcRefused in the list. Raises RpcUnreachable,
        RpcGarbled, WrongChain; then nobody knows which of them arrived.
        """

    async def head(self) -> Header:
        """Return the header of the newest block."""
        return (await self.newest()).header

    async def newest(self) -> Block:
        """Return the newest block."""
        found = await self.block("latest")
        if found is None:
            raise RpcGarbled("the endpoint has no newest block")
        return found

    async def block(self, at: At) -> Block | None:
        """Return a block by height, hash or tag; None where the endpoint has no such block."""
        if isinstance(at, bytes):
            answer = await self.request("eth_getBlockByHash", [wire.data_hex(at), False])
        else:
            answer = await self.request("eth_getBlockByNumber", [_tag(at), False])
        return _block(answer, at)

    async def blocks(self, heights: Sequence[int]) -> list[Block | None]:
        """Return blocks by height, in one request; None for those that the endpoint does not have."""
        answers = await self.request_many([("eth_getBlockByNumber", [_tag(at), False]) for at in heights])
        return [_block(_result(answer), at) for answer, at in zip(answers, heights, strict=True)]

    async def transactions_of_block(self, height: int) -> tuple[Spent, ...] | None:
        """Return who used which nonce in a block; None where the endpoint has no such block."""
        answer = await self.request("eth_getBlockByNumber", [_tag(height), True])
        return None if answer is None else wire.spent(answer)

    async def logs(
        self, addresses: Sequence[bytes], first: int, last: int, topics: Sequence[bytes] = ()
    ) -> tuple[RawLog, ...]:
        """Return the logs of these contracts in the heights ``first`` to ``last``, both included, as answered.

        ``topics`` (bytes32) must match the first topics of a log.

        An endpoint behind ``last`` answers without an error and without the logs it does not have yet.
        """
        query: dict[str, Any] = {
            "address": _asked(addresses),
            "fromBlock": wire.quantity_hex(first),
            "toBlock": wire.quantity_hex(last),
        }
        if topics:
            query["topics"] = [wire.data_hex(topic) for topic in topics]
        return self._logs(await self.request("eth_getLogs", [query]))

    async def logs_over(self, addresses: Sequence[bytes], first: int, last: int) -> tuple[RawLog, ...]:
        """Logs of a long range, in parts that shrink where the endpoint caps a question. Raises as `logs`."""
        found: list[RawLog] = []
        span = _SPAN
        while first <= last:
            upto = min(last, first + span - 1)
            try:
                found += await self.logs(addresses, first, upto)
            except RpcRefused:
                if span == 1:
                    raise
                span = max(1, span // 4)
                continue
            first = upto + 1
        return tuple(found)

    async def logs_of_block(self, addresses: Sequence[bytes], block_hash: bytes) -> tuple[RawLog, ...]:
        """Return the logs of these contracts in one block, by its hash. Raises RpcRefused for an unknown block."""
        query = {"address": _asked(addresses), "blockHash": wire.data_hex(block_hash)}
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

    async def call_many(
        self, calls: Sequence[tuple[bytes, bytes]], *, sender: bytes, at: At = "latest"
    ) -> list[bytes | RpcRefused]:
        """Run several calls (to, calldata) without a transaction, in one request; a refusal stands in its place."""
        who = wire.address_hex(sender)
        answers = await self.request_many(
            [
                ("eth_call", [{"to": wire.address_hex(to), "data": wire.data_hex(data), "from": who}, _tag(at)])
                for to, data in calls
            ]
        )
        return [answer if isinstance(answer, RpcRefused) else wire.data(answer) for answer in answers]

    async def estimate_gas(self, to: bytes, calldata: bytes, *, sender: bytes, value: int = 0) -> int:
        """Return the gas a transaction would need. Raises RpcRefused with the revert data in ``data``."""
        return wire.quantity(await self.request(*_estimate(to, calldata, sender, value)))

    async def estimate_gas_many(
        self, calls: Sequence[tuple[bytes, bytes, int]], *, sender: bytes
    ) -> list[int | RpcRefused]:
        """Estimate several calls (to, calldata, value), in one request; a refusal stands in its place."""
        answers = await self.request_many([_estimate(to, data, sender, value) for to, data, value in calls])
        return [answer if isinstance(answer, RpcRefused) else wire.quantity(answer) for answer in answers]

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

    async def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]:
        """Return receipts by transaction hash, in one request; None for those that are in no block."""
        asked: list[Asked] = [("eth_getTransactionReceipt", [wire.data_hex(each)]) for each in hashes]
        found = [
            None if (a := _result(answer)) is None else wire.receipt(a) for answer in await self.request_many(asked)
        ]
        for wanted, receipt in zip(hashes, found, strict=True):
            if receipt is not None and receipt.transaction_hash != wanted:
                raise RpcGarbled("the endpoint returned the receipt of another transaction")
        return found

    async def receipts_in(self, heights: Sequence[int], wanted: Collection[bytes]) -> list[Receipt]:
        """Return the receipts of the ``wanted`` transaction hashes in these blocks, without a call for each.

        Raises RpcRefused where the endpoint has no ``eth_getBlockReceipts``.
        """
        texts = {wire.data_hex(each) for each in wanted}
        found = []
        for answer in await self.request_many([("eth_getBlockReceipts", [_tag(at)]) for at in heights]):
            listed = _result(answer)
            if listed is None:
                continue
            if not isinstance(listed, list):
                raise RpcGarbled("expected a list of receipts")
            found += [wire.receipt(e) for e in listed if isinstance(e, dict) and e.get("transactionHash") in texts]
        return found

    async def priority_fee(self) -> int:
        """Return the tip per gas that the endpoint suggests, in wei."""
        return wire.quantity(await self.request("eth_maxPriorityFeePerGas", []))

    async def send_raw(self, raw: bytes) -> bytes:
        """Broadcast a signed transaction and return its hash. Safe to repeat. Raises RpcRefused."""
        return wire.fixed(await self.request("eth_sendRawTransaction", [wire.data_hex(raw)]), 32)

    async def send_raw_many(self, raws: Sequence[bytes]) -> list[RpcRefused | None]:
        """Broadcast signed transactions in this order; None for each that was taken, else what the pool said."""
        answers = await self.request_many([("eth_sendRawTransaction", [wire.data_hex(raw)]) for raw in raws])
        return [answer if isinstance(answer, RpcRefused) else None for answer in answers]


def _estimate(to: bytes, calldata: bytes, sender: bytes, value: int) -> Asked:
    query = {
        "from": wire.address_hex(sender),
        "to": wire.address_hex(to),
        "data": wire.data_hex(calldata),
        "value": wire.quantity_hex(value),
    }
    return "eth_estimateGas", [query]


def _result(answer: Any) -> Any:
    if isinstance(answer, RpcRefused):
        raise answer
    return answer


def _block(answer: Any, at: At) -> Block | None:
    if answer is None:
        return None
    found = wire.block(answer)
    if (isinstance(at, int) and found.header.number != at) or (isinstance(at, bytes) and found.header.hash != at):
        raise RpcGarbled("the endpoint returned another block than the one asked for")
    return found
