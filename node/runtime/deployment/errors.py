"""Errors of a deployment.

::

    DeployError (a NodeError)
    ├── BadOrder           usage          an argument is missing, or the arguments do not go together
    ├── AnotherChain       config         the RPC node, or the deployments file, is of another chain
    ├── ProxyMissing       needs person   the CREATE2 proxy is not on this chain
    ├── NotFunded          needs person   the account cannot pay for what is left
    ├── ForeignCode        refused        other code, or another set-up, at an address that is ours
    ├── TokenMissing       refused        no contract where the token should be
    ├── OtherAddress       refused        the file names another address for a contract
    └── StillWaiting       unreachable    a transaction is in no block, or not final, after the time to wait
"""

from __future__ import annotations

from node.errors import ConfigError, NeedsPerson, NodeError, Refused, Unreachable, UsageError
from node.types import address_to_text

__all__ = [
    "AnotherChain",
    "BadOrder",
    "DeployError",
    "ForeignCode",
    "NotFunded",
    "OtherAddress",
    "ProxyMissing",
    "StillWaiting",
    "TokenMissing",
]


class DeployError(NodeError):
    """Root of what a deployment raises."""


class BadOrder(DeployError, UsageError):
    """An argument is missing, or the arguments do not go together."""

    default_remedy = "See scripts/deploy --help."


class AnotherChain(DeployError, ConfigError):
    """The RPC node, or the deployments file, is of another chain than was asked for."""

    code = "another_chain"
    default_remedy = "Name the RPC node and the file of the chain that you mean."


class ProxyMissing(DeployError, NeedsPerson):
    """There is nothing at the address of the CREATE2 proxy."""

    code = "proxy_missing"


class NotFunded(DeployError, NeedsPerson):
    """``address`` (bytes20) lacks ``missing`` wei."""

    code = "not_funded"

    def __init__(self, address: bytes, needed: int, balance: int) -> None:
        self.address = address
        self.missing = max(0, needed - balance)
        who = address_to_text(address)
        super().__init__(
            f"{who} has {balance} wei and needs up to {needed}: {self.missing} wei are missing.",
            remedy=f"Send {self.missing} wei to {who} and give the same command again.",
        )


class ForeignCode(DeployError, Refused):
    """Other code than ours, or ours with another set-up, is at an address that only ours should have."""

    code = "foreign_code"
    default_remedy = "Do not use this address. Compare the checkout with a release, or choose another --salt."


class TokenMissing(DeployError, Refused):
    """There is no contract where the token should be."""

    code = "token_missing"
    default_remedy = "Check --token and the chain; a market cannot change its token later."


class OtherAddress(DeployError, Refused):
    """The file names another address: nodes of this community use that one."""

    code = "other_address"
    default_remedy = "Give the arguments and salt of the first deployment, or name another file with --out."


class StillWaiting(DeployError, Unreachable):
    """What was sent is in no block, or not final, after the time to wait."""

    code = "still_waiting"
    default_remedy = "Give the same command again; it goes on where this one stopped."
