"""The Anchors contract as the ledger uses it: roots of messages that need order, time and proof only."""

from __future__ import annotations

from contracts.bindings import anchors as abi
from contracts.errors import ContractsError
from keys.messages import Anchor
from node.ledger.answers import ask
from node.ledger.reader import At, ChainReader
from node.ledger.transaction import Call

__all__ = ["AnchorViews"]

_GAS = 120_000


class AnchorViews:
    """What one Anchors contract says; all raise RpcError."""

    def __init__(self, reader: ChainReader, address: bytes) -> None:
        self.address = address
        self._reader = reader

    async def head(self, operator: bytes, *, at: At = "latest") -> bytes:
        """The operator's head, 32 bytes; zero before its first root."""
        return await ask(
            self._reader, self.address, abi.encode_head_of(operator), abi.decode_head_of, "the anchors", at=at
        )

    def anchor(self, message: Anchor, signature: bytes) -> Call:
        """The call that brings a signed root onto the chain."""
        return Call(self.address, abi.encode_anchor(message, signature), gas=_GAS)

    async def roots_in(self, operator: bytes, height: int) -> frozenset[bytes]:
        """The roots that an operator anchored in one block."""
        found = set()
        for log in await self._reader.logs([self.address], height, height):
            try:
                event = abi.decode_log(log.topics, log.data)
            except ContractsError:
                continue
            if isinstance(event, abi.Anchored) and event.operator == operator:
                found.add(event.root)
        return frozenset(found)
