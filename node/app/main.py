"""The console script: hands what only the app can make to the command line.

Each command imports what it needs when it is called. Most commands only speak to a running node, and would otherwise
wait longest for the chain, the database and the channels that they never use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from node.app.garbage import collect_seldom
from node.cli import (
    BidsOptions,
    CliFactories,
    DemoOptions,
    DevnetOptions,
    Finding,
    InitOptions,
    InitResult,
    KeyCommands,
    RebuildOptions,
    ReceiptOptions,
    ResetOptions,
    ResetResult,
    RunOptions,
    SimulateOptions,
    VerifyOptions,
    create_cli,
)
from node.config import LoadedConfig

__all__ = ["command_line", "main"]


def _init(options: InitOptions) -> InitResult:
    from node.app.commands.initialize import initialize

    return initialize(options)


def _run(config: LoadedConfig, options: RunOptions) -> None:
    from node.app.daemon import run_node

    run_node(config, options.without_history)


def _rebuild(config: LoadedConfig, options: RebuildOptions) -> Mapping[str, object]:
    from node.app.commands.rebuild import rebuild

    return rebuild(config, options)


def _broker(config: LoadedConfig) -> None:
    from node.app.commands.broker import run_broker

    run_broker(config)


def _devnet(options: DevnetOptions) -> None:
    from node.app.commands.devnet import run_devnet

    run_devnet(options)


def _demo(options: DemoOptions) -> bool:
    from node.app.demo import run_demo

    return asyncio.run(run_demo(options))


def _simulate(options: SimulateOptions) -> Mapping[str, Any]:
    from node.app.commands.simulate import simulate

    return simulate(options)


def _bids(options: BidsOptions) -> None:
    from node.app.trading.bidmanager import run_bids

    run_bids(options)


def _doctor(config: LoadedConfig) -> Sequence[Finding]:
    from node.app.commands.doctor import examine

    return examine(config)


def _verify(options: VerifyOptions) -> Sequence[Finding]:
    from node.app.commands.verify import verify_export

    return verify_export(options)


def _receipt(options: ReceiptOptions) -> Sequence[Finding]:
    from node.app.commands.receipt import verify_receipt

    return verify_receipt(options)


def _reset(config: LoadedConfig, options: ResetOptions) -> ResetResult:
    from node.app.commands.reset import reset_gateway

    return reset_gateway(config, options)


def _keys() -> KeyCommands:
    from node.app.commands.keyring import Keyring

    return Keyring()


def command_line() -> typer.Typer:
    """The whole command line, with everything that the app hands in."""
    factories = CliFactories(
        init=_init,
        run=_run,
        rebuild=_rebuild,
        broker=_broker,
        devnet=_devnet,
        demo=_demo,
        doctor=_doctor,
        verify=_verify,
        receipt=_receipt,
        keys=_keys,
        simulate=_simulate,
        bids=_bids,
        reset=_reset,
    )
    return create_cli(factories)


def main() -> None:
    """Entry point of `wattpact`."""
    collect_seldom()
    command_line()()
