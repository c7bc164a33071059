"""Opening sealed parcels and checking what is signed in them: here while few come, in a second process while many do.

Both are a few tenths of a millisecond of pure computing for each parcel, and one interpreter does one at a time. A node
that is asked for thousands in a second gives them to a helper, many at once, and keeps its own core for what follows. A
helper that ends or answers nonsense costs nothing but the time: the same parcels are then opened here.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple

import structlog

from keys.errors import KeysError
from keys.parcel import Parcel, unpack
from keys.sealing import SealingKey
from node.clock import Clock
from node.errors import NodeError
from node.storage.group import GroupCommit

__all__ = ["HEAD", "Opened", "Opening", "Reader", "Sealed", "open_here"]

_log = structlog.get_logger(__name__)

Reader = Callable[[Parcel], Any]
"""What of a parcel can be checked without knowing anything else: pure, found by name in another process. Raises
NodeError or ValidationError."""

HEAD: Final = 4
"""Bytes of the length in front of each frame between node and helper."""

_MANY: Final = 6
"""Parcels at once that are worth the way to the helper and back."""
_AT_ONCE: Final = 32
"""Parcels of one batch at most. While the helper has the next batch, what was opened before is taken in and written:
with one large batch one of both would wait for the other."""
_PIPE: Final = 1 << 18
"""Bytes between node and helper in each direction."""
_TURN: Final = 8
"""Parcels opened here after which everybody else has a turn."""
_FAULTS: Final = (OSError, EOFError, TimeoutError, ValueError, pickle.UnpicklingError)
_DEFECTS: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
_ANSWER_S: Final = 20.0
_PAUSE_S: Final = 60.0
"""After a helper failed, until the next one is tried."""


class Opened(NamedTuple):
    """A parcel, and what the reader for its kind made of it; None where there is none, or where it refused. What was
    read stands for the parcel's body, which is left out then, unless it was asked for."""

    parcel: Parcel
    read: Any = None


class Sealed(NamedTuple):
    """What is to be opened. `whole`: its body is wanted whatever a reader makes of it."""

    data: bytes
    whole: bool = False


def open_here(
    key: SealingKey, readers: Mapping[str, Reader], chain_id: int, now: int, sealed: Sealed
) -> Opened | Exception:
    """One parcel. An error is returned: it is for whoever sent this one, and sinks none beside it. What a reader
    refuses, or stumbles over, is read again by whoever wants to know why."""
    try:
        parcel = unpack(key, sealed.data, chain_id=chain_id, now=now)
    except (KeysError, *_DEFECTS) as error:
        return error.with_traceback(None)
    reader = readers.get(parcel.kind)
    if reader is None:
        return Opened(parcel)
    try:
        read = reader(parcel)
    except (NodeError, KeysError, *_DEFECTS):
        return Opened(parcel)
    return Opened(parcel if sealed.whole else replace(parcel, body={}), read)


class Opening:
    """Opens what is sealed to one key. `readers` by kind of parcel. It has a helper only while it is `helped`."""

    def __init__(self, key: SealingKey, chain_id: int, clock: Clock, readers: Mapping[str, Reader]) -> None:
        self._key = key
        self._chain_id = chain_id
        self._clock = clock
        self._readers = readers
        self._group: GroupCommit[Sealed, Opened] = GroupCommit("opening", self._open_all, most=_AT_ONCE, ahead=1)
        self._may_start = False
        self._helper: _Helper | None = None
        self._starting: asyncio.Task[None] | None = None
        self._not_before = 0.0

    async def open(self, data: bytes, *, whole: bool = False) -> Opened:
        """In the order of the calls. `whole`: with its body in any case. Raises KeysError."""
        return await self._group.submit(Sealed(data, whole))

    @asynccontextmanager
    async def helped(self) -> AsyncIterator[None]:
        """While it lasts there may be a helper; one core alone is better off without."""
        self._may_start = len(os.sched_getaffinity(0)) > 1
        try:
            yield
        finally:
            self._may_start = False
            await self._drop()

    async def _open_all(self, parcels: Sequence[Sealed]) -> Sequence[Opened | Exception]:
        now = self._clock.now()
        if self._may_start and len(parcels) >= _MANY:
            found = await self._there(now, parcels)
            if found is not None:
                return found
        opened: list[Opened | Exception] = []
        for sealed in parcels:
            opened.append(open_here(self._key, self._readers, self._chain_id, now, sealed))
            if not len(opened) % _TURN:
                await asyncio.sleep(0)
        return opened

    async def _there(self, now: int, parcels: Sequence[Sealed]) -> Sequence[Opened | Exception] | None:
        """What the helper found; None where there is none yet, or where it failed."""
        helper = self._helper
        if helper is None:
            if self._starting is None and self._clock.monotonic() >= self._not_before:
                self._starting = asyncio.create_task(self._start(), name="opening helper")
            return None
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await helper.ask(now, parcels)
        except _FAULTS as error:
            if self._helper is helper:  # and not dropped by another batch that was with it
                self._failed(error)
                await self._drop()
            return None

    async def _start(self) -> None:
        """Takes a second or two, in which nobody waits for it."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                self._helper = await _Helper.start(self._key, self._chain_id, self._readers)
        except _FAULTS as error:
            self._failed(error)
        finally:
            self._starting = None

    def _failed(self, error: Exception) -> None:
        _log.warning("opening_helper_failed", reason=f"{type(error).__name__}: {error}")
        self._not_before = self._clock.monotonic() + _PAUSE_S

    async def _drop(self) -> None:
        starting, helper, self._helper = self._starting, self._helper, None
        if starting is not None:
            starting.cancel()
            await asyncio.wait([starting])
        if helper is not None:
            await helper.end()


def _widen(process: asyncio.subprocess.Process) -> None:
    """A batch fits into a pipe, so that neither side waits in the middle of one; narrow pipes do as well (Linux)."""
    option = getattr(fcntl, "F_SETPIPE_SZ", None)
    for number in (0, 1):
        pipe = process._transport.get_pipe_transport(number)  # type: ignore[attr-defined]  # the only way to the pipe
        with suppress(OSError):
            if option is not None:
                fcntl.fcntl(pipe.get_extra_info("pipe").fileno(), option, _PIPE)


class _Helper:
    """The other process. It ends when its input does, so it outlives no node, however that ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._last: asyncio.Future[None] | None = None
        self._good = True

    @classmethod
    async def start(cls, key: SealingKey, chain_id: int, readers: Mapping[str, Reader]) -> _Helper:
        """Starts it. The key's seed goes through the pipe alone: neither arguments nor environment have it."""
        # The rest of the environment is the node's affair, its passphrase above all.
        around = {name: value for name, value in os.environ.items() if not name.startswith("WATTPACT_")}
        around["PYTHONPATH"] = os.pathsep.join(each for each in (os.getcwd(), *sys.path) if each)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "node.app.openinghelper",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=around, limit=_PIPE,
        )  # fmt: skip
        helper, ready = cls(process), False
        _widen(process)
        try:
            await helper._send((key.to_bytes(), chain_id, dict(readers)))
            await helper.ask(0, [])
            ready = True
        finally:
            if not ready:
                await helper.end()
        return helper

    async def ask(self, now: int, parcels: Sequence[Sealed]) -> list[Opened | Exception]:
        """One result for each parcel; several may ask at once. Raises OSError, EOFError, ValueError, and no more than
        that once an answer was not waited for to its end: the next one read would be that of others."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before, self._last, heard = self._last, mine, False
        try:
            await self._send((now, [tuple(sealed) for sealed in parcels]))
            if before is not None:
                await asyncio.wait([before])
            if not self._good:
                raise ConnectionAbortedError("an earlier answer is missing")
            found = await self._answer(parcels)
            heard = True
            return found
        finally:
            self._good = self._good and heard
            mine.set_result(None)

    async def _answer(self, parcels: Sequence[Sealed]) -> list[Opened | Exception]:
        assert self._process.stdout is not None  # noqa: S101 (it was started with a pipe)
        length = int.from_bytes(await self._process.stdout.readexactly(HEAD), "big")
        # What comes back was written by this same program, started by this process.
        found: list[Opened | Exception] = pickle.loads(await self._process.stdout.readexactly(length))  # noqa: S301
        if len(found) != len(parcels):
            raise ValueError(f"{len(found)} answers to {len(parcels)} parcels")
        return found

    async def _send(self, message: object) -> None:
        assert self._process.stdin is not None  # noqa: S101 (as above)
        content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.write(len(content).to_bytes(HEAD, "big") + content)
        await self._process.stdin.drain()

    async def end(self) -> None:
        """Shuts its input, and waits for it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(2):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
