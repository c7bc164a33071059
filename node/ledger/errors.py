"""Errors of the ledger.

::

    LedgerError (a NodeError)
    ├── RpcError
    │   ├── RpcUnreachable        recoverable   no endpoint answered in time
    │   ├── RpcGarbled            recoverable   an answer that is no valid answer to the question
    │   ├── RpcLags               recoverable   the newest block is too old or behind the others
    │   ├── RpcDisagrees          recoverable   another hash than the others for the same height
    │   ├── RpcPruned             recoverable   the endpoint no longer keeps the blocks that are needed
    │   ├── RpcRefused            caller        the endpoint answered with a JSON-RPC error
    │   └── WrongChain            fatal         every endpoint serves another chain id
    ├── ChainError
    │   ├── UnknownParent         recoverable   headers below are needed first
    │   ├── BrokenBranch          recoverable   headers that do not follow each other
    │   ├── LogRefused            recoverable   a log that belongs to no block of the header chain
    │   └── DeepReorg             fatal         no common ancestor in the window: scan again from the start
    ├── SenderError
    │   ├── SenderBusy            fatal         another process owns the nonces of this key
    │   ├── SenderUnfunded        recoverable   the balance does not cover gas and value
    │   ├── FeesTooHigh           recoverable   the chain asks more than the configured cap
    │   ├── CallReverted          caller        the contract refused, with the decoded reason
    │   └── CancelRefused         caller        it is in a block already, or not ours to cancel
    ├── RelayError
    │   ├── MessageRefused        caller        the registry would refuse this message, with the decoded reason
    │   ├── MessageMalformed      caller        not a message of this registry, or signatures are missing
    │   └── RelayBudgetSpent      caller        the signer used up today's relayed messages
    └── RegistryMismatch          fatal         the code at the configured address is not our registry

Each class also derives from the class of `node.errors` that says whose fault it is, and takes code and exit code there.
"""

from __future__ import annotations

from node.errors import (
    Busy,
    ChainUnreachable,
    ConfigError,
    Conflict,
    FatalError,
    InvalidInput,
    NeedsPerson,
    NodeError,
    RecoverableError,
    Refused,
    TooManyRequests,
)
from node.types import address_to_text

__all__ = [
    "BrokenBranch",
    "CallReverted",
    "CancelRefused",
    "ChainError",
    "DeepReorg",
    "FeesTooHigh",
    "LedgerError",
    "LogRefused",
    "MessageMalformed",
    "MessageRefused",
    "RegistryMismatch",
    "RelayBudgetSpent",
    "RelayError",
    "RpcDisagrees",
    "RpcError",
    "RpcGarbled",
    "RpcLags",
    "RpcPruned",
    "RpcRefused",
    "RpcUnreachable",
    "SenderBusy",
    "SenderError",
    "SenderUnfunded",
    "UnknownParent",
    "WrongChain",
    "shown",
]


class LedgerError(NodeError):
    """Root of everything that the ledger raises."""


class RpcError(LedgerError):
    """The JSON-RPC side failed."""


class RpcUnreachable(RpcError, ChainUnreachable):
    """No endpoint answered in time; the message names each with its last failure."""


class RpcGarbled(RpcError, ChainUnreachable):
    """An endpoint answered something that is no valid answer to the question."""


class RpcLags(RpcError, ChainUnreachable):
    """An endpoint's newest block is too old by its own time, or behind the other endpoints."""

    code = "chain_lags"
    default_remedy = "Wait until the RPC node has caught up, or name another one in [chain] rpc_urls."


class RpcDisagrees(RpcError, ChainUnreachable):
    """An endpoint gives another block hash than the others for a height below the head."""

    code = "chain_disagrees"
    default_remedy = "Remove the RPC node that is not on the chain of the others from [chain] rpc_urls."


class RpcPruned(RpcError, ChainUnreachable):
    """An endpoint does not give blocks or logs that must be read: nothing is skipped, so the reading waits."""

    code = "chain_history_pruned"
    default_remedy = "Name an RPC node in [chain] rpc_urls that keeps the history; the reading goes on by itself then."


class RpcRefused(RpcError, Refused):
    """The endpoint answered with a JSON-RPC error: ``number``, ``reason``, ``data`` (revert data or empty)."""

    code = "chain_refused"
    default_remedy = "Look at the reason; the RPC node will answer the same again."

    def __init__(self, number: int, reason: str, data: bytes = b"") -> None:
        super().__init__(f"{reason} (JSON-RPC error {number})")
        self.number = number
        self.reason = reason
        self.data = data


class WrongChain(RpcError, ConfigError):
    """The endpoints serve chain ``found`` while the configuration says ``expected``."""

    code = "wrong_chain"
    default_remedy = "Point [chain] rpc_urls at the right chain, or correct [chain] chain_id."

    def __init__(self, where: str, expected: int, found: int) -> None:
        super().__init__(f"{where} serves chain id {found}, but the configuration says {expected}")
        self.expected = expected
        self.found = found


class ChainError(LedgerError):
    """The header chain and what an endpoint said do not fit."""


class UnknownParent(ChainError, RecoverableError):
    """The branch hangs on a block outside the window: ``parent`` (bytes32)."""

    def __init__(self, number: int, parent: bytes) -> None:
        super().__init__(f"block {number} hangs on 0x{parent.hex()}, which is not in the header window")
        self.number = number
        self.parent = parent


class BrokenBranch(ChainError, RecoverableError):
    """Headers that do not follow each other by number and parent hash."""


class LogRefused(ChainError, RecoverableError):
    """A log whose block is not the block of that height in the header chain, or of another address."""


class DeepReorg(ChainError, FatalError):
    """The chain left ours below the window: everything must be scanned again from the start block."""


class SenderError(LedgerError):
    """A transaction could not be sent."""


class SenderBusy(SenderError, Busy):
    """Another process owns the nonces of this key (one nonce owner per key)."""

    default_remedy = "Stop the other process; two senders on one key would overwrite each other's transactions."


class SenderUnfunded(SenderError, NeedsPerson):
    """``address`` (bytes20) has ``balance`` of ``needed`` wei, ``missing`` wei too few; the work stays queued."""

    code = "sender_unfunded"

    def __init__(self, address: bytes, needed: int, balance: int) -> None:
        missing = max(0, needed - balance)
        super().__init__(
            f"{address_to_text(address)} has {balance} wei and needs {needed} for gas: {missing} wei are missing",
            remedy=f"Send at least {missing} wei to {address_to_text(address)}; what waits goes out by itself then.",
        )
        self.address = address
        self.needed = needed
        self.balance = balance
        self.missing = missing


class FeesTooHigh(SenderError, RecoverableError):
    """The base fee is above the configured cap; the work stays queued until it falls."""

    code = "fees_too_high"
    default_remedy = "Wait for lower fees or raise the fee cap of the sender in the configuration."


class CallReverted(SenderError, Refused):
    """The contract refused. ``name`` and ``arguments`` are the decoded custom error, never hex data."""

    code = "reverted"
    default_remedy = "The reason names what the contract did not accept."

    def __init__(self, name: str, arguments: tuple[tuple[str, str], ...] = (), notice: str = "") -> None:
        super().__init__(f"the contract refused: {shown(name, arguments, notice)}")
        self.name = name
        self.arguments = arguments


class CancelRefused(SenderError, Conflict):
    """What is in a block cannot be cancelled."""

    code = "cancel_refused"
    default_remedy = "Look at the transaction's state; what the chain took stays."


class RelayError(LedgerError):
    """A signed message could not be relayed."""


class MessageRefused(RelayError, Refused):
    """The registry would refuse this message; ``name`` and ``arguments`` are the decoded custom error."""

    code = "message_refused"
    default_remedy = "The reason names what the registry did not accept; sign a corrected message."

    def __init__(self, digest: bytes, name: str, arguments: tuple[tuple[str, str], ...] = (), notice: str = "") -> None:
        super().__init__(f"the registry refuses this message: {shown(name, arguments, notice)}")
        self.digest = digest
        self.name = name
        self.arguments = arguments


class MessageMalformed(RelayError, InvalidInput):
    """Not a message of this registry, or the signatures do not fit its kind."""

    default_remedy = "Sign a message of this registry on this chain, with one signature per party."


class RelayBudgetSpent(RelayError, TooManyRequests):
    """The signer used up the relayed messages of this day."""

    code = "relay_budget_spent"


class RegistryMismatch(LedgerError, ConfigError):
    """The code at the configured registry address is not the registry of this version."""

    code = "registry_mismatch"
    default_remedy = "Correct [chain] registry, or deploy the registry of this version with scripts/deploy."


def shown(name: str, arguments: tuple[tuple[str, str], ...], notice: str) -> str:
    """Return a decoded contract error in one line: the sentence, then name and arguments."""
    error = f"{name}({', '.join(f'{key}={value}' for key, value in arguments)})"
    return f"{notice} {error}" if notice else error
