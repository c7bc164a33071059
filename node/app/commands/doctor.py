"""`wattpact doctor`: looks at everything a node stands on and says what to do. It changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keys.identity import Identity
from node.app.commands.checks.broker import check_broker
from node.app.commands.checks.chain import check_chain
from node.app.commands.checks.local import check_disk, check_folder, check_keystore, check_meter, check_proxy
from node.app.commands.checks.report import broken
from node.app.commands.checks.running import check_running
from node.cli.factories import Finding
from node.clock import Clock, SystemClock
from node.config import LoadedConfig, Settings, lacking_settings

__all__ = ["examine"]


def examine(config: LoadedConfig, clock: Clock | None = None) -> Sequence[Finding]:
    """One finding per thing looked at. What fails is a finding, never an error, and does not keep the rest from it."""
    settings = config.settings
    keystore, identity = check_keystore(settings)
    running, runs = check_running(settings)
    reached = asyncio.run(_reach(settings, identity, clock or SystemClock(), runs))
    lacking = [broken(name, why, f"Set {name} in the config file.") for name, why in lacking_settings(settings)]
    place = [
        check_folder(settings),
        check_disk(settings),
        keystore,
        *check_meter(settings),
        *check_proxy(settings),
    ]
    return [*lacking, *place, *reached, *running]


async def _reach(settings: Settings, identity: Identity | None, clock: Clock, runs: bool) -> list[Finding]:
    """What is elsewhere, asked at the same time: each has its own deadline."""
    found = await asyncio.gather(check_chain(settings, identity, clock), check_broker(settings, runs))
    return [finding for part in found for finding in part]
