"""Who used a nonce: found in the blocks themselves, because a missing receipt alone proves nothing."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto

from node.ledger.errors import RpcRefused
from node.ledger.reader import ChainReader

__all__ = ["Finding", "who_used"]


class Finding(Enum):
    """OURS: one of our versions is in the block. ANOTHER: somebody else's transaction with this key is shown.

    UNSEEN: no block up to the height used the nonce. PRUNED: the endpoint does not keep the history that would tell.
    """

    OURS = auto()
    ANOTHER = auto()
    UNSEEN = auto()
    PRUNED = auto()


async def who_used(reader: ChainReader, address: bytes, nonce: int, ours: Collection[bytes], height: int) -> Finding:
    """Find the block up to ``height`` in which ``address`` used ``nonce``, and whose transaction did it.

    ``ours`` are the hashes of our versions. Costs one question for each halving of the range. Raises RpcError.
    """
    try:
        if height < 0 or await reader.nonce(address, at=height) <= nonce:
            return Finding.UNSEEN
        low, high = -1, height  # used after block `low`, not after block `high` + 1
        step = 1
        while low < high - 1:
            # Young blocks first: history far back may be pruned, and what we look for is seldom old.
            middle = max(low + 1, high - step) if low < 0 else (low + high) // 2
            if await reader.nonce(address, at=middle) > nonce:
                high, step = middle, step * 4
            else:
                low = middle
        used = await reader.transactions_of_block(high)
    except RpcRefused:
        return Finding.PRUNED
    if used is None:
        return Finding.PRUNED
    mine = [each for each in used if each.sender == address and each.nonce == nonce]
    if not mine:
        return Finding.PRUNED
    return Finding.OURS if mine[0].hash in ours else Finding.ANOTHER
