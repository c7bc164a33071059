"""From the revert data of an endpoint to a name and arguments that a person can read; hex never reaches the user."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from node.ledger.errors import CallReverted, RpcRefused, shown
from node.ledger.wire import RawLog

__all__ = ["DecodedError", "ErrorDecoder", "Reason", "reason_from", "reason_of", "rejected_in", "reverted"]

_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")
# Solidity documentation, "Panic via assert and Error via require".
_PANICS = {
    0x01: "a check inside the contract failed",
    0x11: "arithmetic overflow",
    0x12: "division by zero",
    0x21: "a value outside its enumeration",
    0x31: "pop of an empty array",
    0x32: "index out of bounds",
    0x41: "too much memory",
    0x51: "call of an unset function",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """A decoded refusal: the custom error's name, its arguments as text in order, one sentence for people."""

    name: str
    arguments: tuple[tuple[str, str], ...] = ()
    notice: str = ""

    def __str__(self) -> str:
        return shown(self.name, self.arguments, self.notice)


class DecodedError(Protocol):
    """What the generated bindings make of revert data."""

    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> Mapping[str, Any]: ...
    @property
    def notice(self) -> str: ...


# Revert data (4-byte selector and arguments) to a reason; None for a selector that the contract does not declare.
ErrorDecoder = Callable[[bytes], Reason | None]


def rejected_in(
    logs: Sequence[RawLog],
    topic: bytes,
    decode_log: Callable[[Sequence[bytes], bytes], Any],
    error_name: Callable[[bytes], str],
    errors: Mapping[bytes, Any],
) -> dict[bytes, Reason]:
    """Why items of a batch were refused, by message digest, from the logs of its receipt.

    Every contract that takes batches tells it by `Rejected(digest, code)` with this `topic`; what its codes mean its
    own bindings know.
    """
    found: dict[bytes, Reason] = {}
    for log in logs:
        if log.topics and log.topics[0] == topic:
            event = decode_log(log.topics, log.data)
            shape = errors.get(event.code)
            found[event.digest] = Reason(error_name(event.code), (), shape.notice if shape else "")
    return found


def reason_of(refusal: RpcRefused, decoder: ErrorDecoder) -> Reason | None:
    """Return why a call reverted; None when the refusal is not a revert (the endpoint refused the request itself)."""
    data = refusal.data
    if not data:
        return Reason("reverted without a reason") if "revert" in refusal.reason.lower() else None
    found = decoder(data)
    if found is not None:
        return found
    try:
        if data[:4] == _ERROR_STRING:
            return Reason("Error", (("reason", str(decode(["string"], data[4:])[0])),))
        if data[:4] == _PANIC:
            number = int(decode(["uint256"], data[4:])[0])
            return Reason("Panic", (("reason", _PANICS.get(number, f"code {number}")),))
    except DecodingError:
        pass
    return Reason("UnknownError", (("bytes", str(len(data))),))


def reason_from(errors: Container[bytes], decode_error: Callable[[bytes], DecodedError], data: bytes) -> Reason | None:
    """Return the reason by the errors (4-byte selectors) that a contract's bindings declare; None for a foreign one."""
    if data[:4] not in errors:
        return None
    found = decode_error(data)
    arguments = {
        key: "0x" + value.hex() if isinstance(value, bytes) else str(value) for key, value in found.arguments.items()
    }
    return Reason(found.name, tuple(arguments.items()), found.notice)


def reverted(reason: Reason) -> CallReverted:
    """Return the exception of a reason."""
    return CallReverted(reason.name, reason.arguments, reason.notice)
