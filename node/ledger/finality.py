"""When a block is final (contracts.md, "Finality"): by depth where one is configured, else by the chain's own tag."""

from __future__ import annotations

from dataclasses import dataclass

from node.ledger.errors import RpcRefused
from node.ledger.headers import Header
from node.ledger.reader import ChainReader

__all__ = ["Finality"]


@dataclass(frozen=True, slots=True)
class Finality:
    """``depth`` blocks on top of a final block; None asks the chain, ``fallback`` serves chains without the tag."""

    depth: int | None = None
    fallback: int = 64

    async def height(self, reader: ChainReader, head: Header) -> int:
        """Return the highest final height below ``head``, or -1 when none is. Raises RpcError."""
        if self.depth is None:
            try:
                found = await reader.block("finalized")
            except RpcRefused:  # the chain does not know the tag
                found = None
            if found is not None:
                return min(found.header.number, head.number)
        depth = self.fallback if self.depth is None else self.depth
        return max(-1, head.number - depth)
