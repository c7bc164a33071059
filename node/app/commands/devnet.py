"""`wattpact devnet`: a local chain with the contracts on it, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from node.app.stopping import say, stop_signals
from node.cli.factories import DevnetOptions
from node.errors import ConfigError, UsageError
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, Fact
from node.runtime.devnet.devnet import DevnetOptions as Options
from node.types import Address, address_from_text

__all__ = ["run_devnet"]

_MANY: Final = frozenset({"account"})
_NUMBERS: Final = frozenset(
    {
        "chain id",
        "registry block",
        "energy token block",
        "allowances block",
        "anchors block",
        "market block",
        "net settlement block",
        "anvil process",
    }
)


def run_devnet(options: DevnetOptions) -> None:
    """Until SIGTERM or SIGINT. One line per fact on stdout, all as JSON into `out`. Raises DevnetError, ConfigError, or
    UsageError for a registrar that is no address."""
    registrar = None if options.registrar is None else _registrar(options.registrar)
    asyncio.run(_serve(options, registrar))


def _registrar(text: str) -> Address:
    try:
        return address_from_text(text)
    except ValueError as wrong:
        raise UsageError(
            f"--registrar is no address: {wrong}.", remedy="Name the community's wallet, as `wattpact init` shows it."
        ) from None


async def _serve(options: DevnetOptions, registrar: Address | None) -> None:
    anvil = AnvilOptions(port=options.port, block_time=options.block_time)
    with stop_signals() as stop:
        async with Devnet(Options(anvil, registrar=registrar, settlement=options.settlement)) as devnet:
            facts = await devnet.facts()
            if options.out is not None:
                _write(options.out, facts)
            for fact in facts:
                say(f"{fact.name}: {fact.value}")
            await _until(stop, devnet)
    say("stopped")


async def _until(stop: asyncio.Event, devnet: Devnet) -> None:
    """Returns when told to stop; raises AnvilFailed if the chain ended by itself."""
    waiting = {asyncio.ensure_future(stop.wait()), asyncio.ensure_future(devnet.wait())}
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
    if not stop.is_set():
        for each in done:
            each.result()


def _write(path: Path, facts: Sequence[Fact]) -> None:
    """Replaced in one step: who polls for the file never reads half of it."""
    document: dict[str, object] = {}
    accounts: list[str] = []
    for fact in facts:
        if fact.name in _MANY:
            accounts.append(fact.value.split()[0])
        else:
            value = int(fact.value) if fact.name in _NUMBERS else fact.value
            document[fact.name.replace(" ", "_")] = value
    document["accounts"] = accounts
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}).", remedy="Name another file.") from error
