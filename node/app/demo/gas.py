"""Gas per message, from receipts: what a transaction cost, shared evenly by the messages that its logs show."""

from __future__ import annotations

from typing import Final

from node.app.demo.evidence import Evidence
from node.app.demo.registrylog import name_of

__all__ = ["MESSAGES", "gas_by_message"]

_KINDS: Final = {
    "DevicePaired": "PairDevice",
    "StreamRegistered": "RegisterStream",
    "Granted": "Grant",
    "Committed": "StreamCommit",
    "Revoked": "Revoke",
}

MESSAGES: Final = tuple(_KINDS.values())
"""The messages that the story cannot do without."""


def gas_by_message(evidence: Evidence) -> dict[str, list[int]]:
    """Kind of message to what each cost, in the order of the chain."""
    found: dict[str, list[int]] = {kind: [] for kind in MESSAGES}
    for block in evidence.canonical:
        by_transaction: dict[bytes, list[str]] = {}
        for log in block.logs:
            kind = _KINDS.get(name_of(log))
            if kind is not None:
                by_transaction.setdefault(log.transaction, []).append(kind)
        for transaction, kinds in by_transaction.items():
            receipt = evidence.receipts.get(transaction)
            if receipt is not None and receipt.ok:
                for kind in kinds:
                    found[kind].append(receipt.gas // len(kinds))
    return found
