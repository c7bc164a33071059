"""The command line: thin, over the REST interface of the running node. See `wattpact --help`."""

from node.cli.factories import (
    CliFactories,
    DemoOptions,
    DevnetOptions,
    Finding,
    InitOptions,
    InitResult,
    KeyCommands,
    KeyRow,
    RebuildOptions,
    RunOptions,
    VerifyOptions,
)
from node.cli.program import create_cli

__all__ = [
    "CliFactories",
    "DemoOptions",
    "DevnetOptions",
    "Finding",
    "InitOptions",
    "InitResult",
    "KeyCommands",
    "KeyRow",
    "RebuildOptions",
    "RunOptions",
    "VerifyOptions",
    "create_cli",
]
