"""Plays the household into the cable: a backlog as fast as it is read, or one telegram a second by the wall clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from node.services.simulator.dsmr5 import write_telegram
from node.services.simulator.errors import CommandRefused
from node.services.simulator.faults import Faults
from node.services.simulator.household import Household
from node.services.simulator.pty import PseudoTerminal
from node.services.simulator.truth import TruthFile

__all__ = ["Player", "PlayerStatus"]

# A live telegram that has not left by then is cut off, as on a wire that nobody listens to.
_LIVE_DEADLINE = 0.9


@dataclass(slots=True)
class PlayerStatus:
    """`mode`: paused, backlog or live. `sent`: telegrams that went out whole and unharmed; `cut`: that did not go out
    whole; `faulty`: harmed on purpose; `last`: true time of the newest telegram, -1 before the first."""

    mode: str = "paused"
    sent: int = 0
    cut: int = 0
    faulty: dict[str, int] = field(default_factory=dict)
    last: int = -1


class Player:
    """One meter. At most one mode at a time; a new one replaces the old one at once."""

    def __init__(
        self,
        household: Household,
        equipment: str,
        terminal: PseudoTerminal,
        truth: TruthFile,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.status = PlayerStatus()
        self.faults = Faults()
        self.terminal = terminal
        self._household = household
        self._equipment = equipment
        self._truth = truth
        self._now = now
        self._number = 0
        self._task: asyncio.Task[None] | None = None

    def report(self) -> dict[str, Any]:
        """The status and the faults that are on, as plain values."""
        return {**asdict(self.status), "device": self.terminal.device, "faults": asdict(self.faults)}

    async def backlog(self, start: int, end: int | None, step: int) -> None:
        """Telegrams from `start` every `step` seconds up to `end`, or to the present moment, whenever that is reached.
        Returns at once; `wait` waits for the end. Raises CommandRefused."""
        if step < 1 or start < 0 or (end is not None and end < start):
            raise CommandRefused("a backlog needs 0 <= start <= end and a step of a second or more")
        self._existed(start)
        await self._play("backlog", self._backlog(start, end, step))

    async def live(self) -> None:
        """One telegram at each full second of the wall clock, from the next one on. Raises CommandRefused."""
        self._existed(int(self._now()))
        await self._play("live", self._live())

    async def pause(self) -> None:
        """Stops; a telegram on its way is cut off."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.status.mode = "paused"

    async def wait(self) -> None:
        """Returns when nothing plays any more; does not end the playing when cancelled."""
        task = self._task
        if task is not None:
            await asyncio.wait([task])

    def _existed(self, moment: int) -> None:
        if moment < self._household.begin:
            raise CommandRefused("the household's meter did not exist then; start the simulator with an earlier origin")

    async def _play(self, mode: str, script: Coroutine[Any, Any, None]) -> None:
        await self.pause()
        self.status.mode = mode
        self._task = asyncio.create_task(script)

    async def _backlog(self, start: int, end: int | None, step: int) -> None:
        moment = start
        while moment <= (int(self._now()) if end is None else end):
            await self._send(moment)
            moment += step
            await asyncio.sleep(0)  # commands are heard while the reader keeps up
        self.status.mode = "paused"

    async def _live(self) -> None:
        while True:
            now = self._now()
            await asyncio.sleep(int(now) + 1 - now)
            moment = int(self._now())
            if moment <= self.status.last:
                continue  # the timer fired early, or the wall clock went back: a meter never repeats a second
            with suppress(TimeoutError):
                async with asyncio.timeout(_LIVE_DEADLINE):
                    await self._send(moment)

    async def _send(self, moment: int) -> None:
        state = self._household.at(moment)
        shown = self.faults.shown_time(moment)
        self._number += 1
        fault = self.faults.of(self._number)
        telegram = write_telegram(state, self._equipment, shown)
        self.status.last = moment
        complete = False
        try:
            await self.terminal.send(Faults.apply(fault, telegram, self._number))
            complete = True
        except ConnectionError:
            await asyncio.sleep(0)  # unplugged: the meter goes on, nobody hears it
        finally:
            self._truth.add(state, shown, fault, complete)
            if not complete:
                self.status.cut += 1
            elif fault is None:
                self.status.sent += 1
            else:
                self.status.faulty[fault] = self.status.faulty.get(fault, 0) + 1
