"""Running until somebody says stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["say", "stop_signals"]


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Set by SIGTERM or SIGINT; the signals have no other effect inside, so that stopping is never cut short."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def say(line: str) -> None:
    """One line on stdout, at once: whoever started this in a pipe waits for it."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
