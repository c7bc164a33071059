"""The console script: hands what only the app can make to the command line."""

from __future__ import annotations

import asyncio

import typer

from node.app.commands.broker import run_broker
from node.app.commands.devnet import run_devnet
from node.app.commands.doctor import examine
from node.app.commands.initialize import initialize
from node.app.commands.keyring import Keyring
from node.app.commands.rebuild import rebuild
from node.app.commands.verify import verify_export
from node.app.daemon import run_node
from node.app.demo import run_demo
from node.cli import CliFactories, DemoOptions, RunOptions, create_cli
from node.config import LoadedConfig

__all__ = ["command_line", "main"]


def _run(config: LoadedConfig, options: RunOptions) -> None:
    run_node(config, options.without_history)


def _demo(options: DemoOptions) -> bool:
    return asyncio.run(run_demo(options))


def command_line() -> typer.Typer:
    """The whole command line, with everything that the app hands in."""
    factories = CliFactories(
        init=initialize,
        run=_run,
        rebuild=rebuild,
        broker=run_broker,
        devnet=run_devnet,
        demo=_demo,
        doctor=examine,
        verify=verify_export,
        keys=Keyring(),
    )
    return create_cli(factories)


def main() -> None:
    """Entry point of `wattpact`."""
    command_line()()
