"""What can go wrong with contracts.

ContractsError
├── ArtifactError          a committed artifact is missing or is not what its checksum says
├── DeploymentError        a deployment file is missing, malformed or for another chain
├── CodeMismatch           the code at an address is not ours
├── MalformedData          bytes do not decode as the ABI says
│   └── MalformedLog       a log has the topic of an event but not its shape
├── Misfit                a value has not the plain form that is packed here; eth_abi judges it
├── UnknownEvent           a log of no event in the bindings
└── ContractError          a contract refused: the decoded revert
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ArtifactError",
    "CodeMismatch",
    "ContractError",
    "ContractsError",
    "DeploymentError",
    "MalformedData",
    "MalformedLog",
    "Misfit",
    "UnknownEvent",
]


class ContractsError(Exception):
    """Root of this package's errors."""


class ArtifactError(ContractsError):
    """A committed artifact is missing or is not what its checksum says."""


class DeploymentError(ContractsError):
    """A deployment file is missing, malformed or for another chain."""


class CodeMismatch(ContractsError):
    """The code at an address is not the code of the artifact."""


class MalformedData(ContractsError):
    """Bytes do not decode as the ABI says."""


class MalformedLog(MalformedData):
    """A log has the topic of an event but not its shape."""


class Misfit(ContractsError):
    """A value is not of the one plain kind that is packed here. Not seen outside: eth_abi judges it then."""


class UnknownEvent(ContractsError):
    """A log of no event in the bindings."""


class ContractError(ContractsError):
    """A contract refused.

    `name` and `arguments` are the Solidity error's (arguments in the Python spelling, as bytes, int, bool or str),
    `selector` its first four bytes, `notice` one sentence for people. An error that the bindings don't know is named
    `Unknown`, an empty revert `Empty`.
    """

    def __init__(self, name: str, selector: bytes, arguments: Mapping[str, object], notice: str) -> None:
        """Keep the parts and word the message."""
        self.name = name
        self.selector = selector
        self.arguments = dict(arguments)
        self.notice = notice
        listed = ", ".join(f"{key} {_shown(value)}" for key, value in self.arguments.items())
        super().__init__(f"{notice} ({name}{': ' + listed if listed else ''})")


def _shown(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
