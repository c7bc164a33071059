"""Running endless work under the supervisor: it ends soon after the wish to stop, and its failure is the service's."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from node.runtime.supervisor import Lifecycle

__all__ = ["hand_over_soon", "looped", "until_stopped"]


def hand_over_soon() -> None:
    """A thread that comes back from the disk goes on after half a millisecond at the latest, not after five.

    Each statement of a database is a way to its thread and back. While the event loop is busy such a thread would wait
    five milliseconds each time before it gets the interpreter again, and everybody who waits for the commit with it.
    """
    sys.setswitchinterval(0.0005)


async def until_stopped(life: Lifecycle, work: Coroutine[Any, Any, object]) -> None:
    """Awaits the work until it ends, raises, or the node stops; then it is cancelled and awaited."""
    task = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(life.stop.wait())
    life.ready()
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for each in (task, stop):
            each.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await each


def looped(
    wake: asyncio.Event, step: Callable[[], Awaitable[bool]], every: float
) -> Callable[[Lifecycle], Awaitable[None]]:
    """A service that steps while there is more to do, and else waits for the wake or for `every` seconds."""

    async def run(life: Lifecycle) -> None:
        life.ready()
        while not life.stop.is_set():
            wake.clear()
            if await step():
                continue
            waiting = {asyncio.ensure_future(wake.wait()), asyncio.ensure_future(life.stop.wait())}
            try:
                await asyncio.wait(waiting, timeout=every, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waiting:
                    each.cancel()

    return run
