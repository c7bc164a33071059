"""The control socket: one command per line in, one JSON object per line out. For the demo and for people with `nc -U`.

status                      mode, counts, device
backlog [START [END [STEP]]]    play the past at full speed; END `now` means up to the present
live                        one telegram a second from now on
wait                        answers when nothing plays any more
pause                       stop playing
fault ...                   damage N | truncate N | interleave N | clock S | 2099 | stuck | none
unplug, plug                pull the cable, put it back
quit                        end the process
help                        this list
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.services.simulator.errors import CommandRefused, PathRefused, SimulatorError
from node.services.simulator.faults import set_fault
from node.services.simulator.player import Player

__all__ = ["ControlServer", "Defaults"]

_LINE_LIMIT = 1024
# Linux: sun_path has 108 bytes, one of them the final zero.
_PATH_LIMIT = 107


@dataclass(frozen=True, slots=True)
class Defaults:
    """What `backlog` plays when the command does not say."""

    start: int
    step: int


class ControlServer:
    """Commands of one player. Open to the user who started it alone (the socket has mode 0600)."""

    def __init__(self, player: Player, defaults: Defaults, stop: Callable[[], None]) -> None:
        self._player = player
        self._defaults = defaults
        self._stop = stop

    async def listen(self, path: Path) -> asyncio.Server:
        """Raises PathRefused where the path is too long or taken by something that is not a socket."""
        try:
            listener = _bind(path)
        except OSError as cause:
            raise PathRefused(f"cannot listen on {path}: {cause.strerror}") from cause
        return await asyncio.start_unix_server(self._serve, sock=listener, limit=_LINE_LIMIT)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await self.answer(line.decode("utf-8", "replace").split())
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            # The peer went away, or sent a line beyond the limit, or the process ends; nobody awaits this task, so a
            # cancellation passed on would only be logged as an error.
            pass
        finally:
            writer.close()

    async def answer(self, words: list[str]) -> dict[str, Any]:
        """`{"ok": true, ...status}` or `{"ok": false, "error": ...}`."""
        try:
            if words == ["help"]:
                return {"ok": True, "help": __doc__}
            await self._do(words)
        except SimulatorError as refused:
            return {"ok": False, "error": refused.message}
        return {"ok": True, **self._player.report()}

    async def _do(self, words: list[str]) -> None:
        player = self._player
        match words:
            case ["status"]:
                pass
            case ["backlog", *numbers] if len(numbers) <= 3:
                await player.backlog(*self._span(numbers))
            case ["live"]:
                await player.live()
            case ["wait"]:
                await player.wait()
            case ["pause"]:
                await player.pause()
            case ["fault", *rest]:
                player.faults = set_fault(player.faults, rest, int(time.time()))
            case ["unplug"]:
                player.terminal.unplug()
            case ["plug"]:
                player.terminal.plug()
            case ["quit"]:
                self._stop()
            case _:
                raise CommandRefused("unknown command; send help")

    def _span(self, numbers: list[str]) -> tuple[int, int | None, int]:
        texts = dict(zip(("start", "end", "step"), numbers, strict=False))
        try:
            start = int(texts.get("start", self._defaults.start))
            end = None if texts.get("end", "now") == "now" else int(texts["end"])
            step = int(texts.get("step", self._defaults.step))
        except ValueError:
            raise CommandRefused("backlog takes START, END (or now) and STEP as whole numbers") from None
        return start, end, step


def _bind(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > _PATH_LIMIT:
        raise PathRefused(f"a socket's path has at most {_PATH_LIMIT} bytes: {path}")
    if path.exists() and not path.is_socket():
        raise PathRefused(f"{path} exists and is not a socket")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(os.fsencode(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener
