"""Errors of the devnet.

::

    DevnetError (a NodeError)
    ├── AnvilMissing       config        no anvil binary on PATH or in node_modules
    ├── AnvilFailed        unreachable   anvil did not start, or ended by itself
    └── DeploymentFailed   fatal         the registry is not at its address with the expected code
"""

from __future__ import annotations

from node.errors import ChainUnreachable, ConfigError, FatalError, NodeError

__all__ = ["AnvilFailed", "AnvilMissing", "DeploymentFailed", "DevnetError"]


class DevnetError(NodeError):
    """Root of what the devnet raises."""


class AnvilMissing(DevnetError, ConfigError):
    """No anvil binary was found."""

    code = "anvil_missing"
    default_remedy = "Run `make setup`, or install Foundry so that anvil is on PATH."


class AnvilFailed(DevnetError, ChainUnreachable):
    """anvil did not become ready, or ended by itself; the message ends with its last lines."""

    code = "anvil_failed"
    default_remedy = "Read anvil's last lines; is the port in use?"


class DeploymentFailed(DevnetError, FatalError):
    """The contract is not at its address with the expected code."""

    code = "deployment_failed"
    default_remedy = "Start a fresh devnet, or rebuild the artifacts with scripts/build_contracts."
