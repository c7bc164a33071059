"""What a contract's function takes beside a message and its signatures: bytes, or a message that is shown to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeVar

from keys import messages as m
from keys.errors import KeysError
from node.ledger.errors import MessageMalformed

__all__ = ["raw_in", "raw_of", "shown_in"]

T = TypeVar("T", bound=m.Message)


def raw_of(part: m.Opening) -> bytes:
    """The bytes. Raises MessageMalformed for a message."""
    if not isinstance(part, bytes):
        raise MessageMalformed(f"expected bytes beside the message, found a {type(part).__name__}")
    return part


def raw_in(opening: Sequence[m.Opening]) -> list[bytes]:
    """The same for all parts."""
    return [raw_of(part) for part in opening]


def shown_in(part: m.Opening, kind: type[T]) -> T:
    """The message that is shown, or whose EIP-712 document these bytes are. Raises MessageMalformed for any other."""
    message = _read(part) if isinstance(part, bytes) else part
    if not isinstance(message, kind):
        raise MessageMalformed(f"expected a {kind.__name__}, found a {type(message).__name__}")
    return message


def _read(part: bytes) -> m.Message:
    try:
        return m.from_typed_data(json.loads(part))[0]
    except (KeysError, ValueError, RecursionError) as error:
        raise MessageMalformed(f"a message beside the message cannot be read: {error}") from error
