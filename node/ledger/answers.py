"""What the views of contracts answer, decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from contracts.errors import MalformedData
from node.ledger.errors import RpcGarbled
from node.ledger.reader import At, ChainReader

__all__ = ["ask", "decoded"]

T = TypeVar("T")


async def ask(
    reader: ChainReader, address: bytes, data: bytes, decode: Callable[[bytes], T], what: str, *, at: At = "latest"
) -> T:
    """Call a view of ``what`` (a contract, in words) and decode the answer. Raises RpcError, RpcGarbled among them."""
    return decoded(await reader.call(address, data, at=at), decode, what)


def decoded(answer: bytes, decode: Callable[[bytes], T], what: str) -> T:
    """An answer of ``what``, decoded. Raises RpcGarbled."""
    try:
        return decode(answer)
    except MalformedData as error:
        raise RpcGarbled(f"an answer of {what} does not parse: {error}") from error
