"""Errors of the simulator.

SimulatorError (NodeError)
├── PathRefused         caller's fault: link, control or truth path cannot be used
└── CommandRefused      caller's fault: a line on the control socket that means nothing, or not now
"""

from __future__ import annotations

from node.errors import ExitCode, NodeError

__all__ = ["CommandRefused", "PathRefused", "SimulatorError"]


class SimulatorError(NodeError):
    """Root of the simulator's errors."""

    code = "simulator"


class PathRefused(SimulatorError):
    """A path that is taken by something else, or cannot be written."""

    code = "simulator_path"
    exit_code = ExitCode.USAGE
    default_remedy = "Name another path, or remove what stands there."


class CommandRefused(SimulatorError):
    """A control line that is not a command."""

    code = "simulator_command"
    exit_code = ExitCode.USAGE
    default_remedy = "Send `help` for the commands."
