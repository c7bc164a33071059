"""Running endless work under the supervisor: it ends soon after the wish to stop, and its failure is the service's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from node.runtime.supervisor import Lifecycle

__all__ = ["collect_seldom", "looped", "until_stopped"]

_ALLOCATIONS = 50_000


def collect_seldom() -> None:
    """Look for garbage in cycles after 50,000 new objects instead of 700. Measured: a fifth of the time of a rebuild.

    Nearly nothing here is in cycles; what is waits a little longer, a few megabytes of it at most.
    """
    gc.set_threshold(_ALLOCATIONS, 20, 20)


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
