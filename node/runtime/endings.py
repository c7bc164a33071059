"""Processes that this one started, taken down."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import Process

__all__ = ["end_process"]


async def end_process(process: Process, number: int, within: float) -> int:
    """Sends a signal and waits `within` seconds; what does not end in time is killed. Returns the exit code (-9 for 9).

    Also in a task that was cancelled and takes down what it had: `asyncio.timeout` takes its own cancellation for
    that one before Python 3.11.4, and whatever runs would be left behind.
    """
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
    waiting = asyncio.ensure_future(process.wait())
    done, _ = await asyncio.wait({waiting}, timeout=within)
    if not done:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return await waiting
