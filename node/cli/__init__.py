"""The command line: thin, over the REST interface of the running node. See `wattpact --help`."""

from node.cli.factories import (
    BidsOptions,
    CliFactories,
    DemoOptions,
    DevnetOptions,
    Finding,
    InitOptions,
    InitResult,
    KeyCommands,
    KeyRow,
    RebuildOptions,
    ReceiptOptions,
    ResetOptions,
    ResetResult,
    RunOptions,
    SimulateOptions,
    VerifyOptions,
)
from node.cli.program import create_cli

__all__ = [
    "BidsOptions",
    "CliFactories",
    "DemoOptions",
    "DevnetOptions",
    "Finding",
    "InitOptions",
    "InitResult",
    "KeyCommands",
    "KeyRow",
    "RebuildOptions",
    "ReceiptOptions",
    "ResetOptions",
    "ResetResult",
    "RunOptions",
    "SimulateOptions",
    "VerifyOptions",
    "create_cli",
]
