"""A household behind one meter: power in every second, and registers that are exactly its integral.

Everything follows from a seed and an origin, so two runs agree to the last watt-hour and a restarted simulator goes on
where it was. Within a second power is constant; registers count joules and show whole watt-hours, rounded down, as a
meter does. The meter's initial values hold at midnight UTC of the origin's day.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from random import Random
from types import MappingProxyType
from zoneinfo import ZoneInfo

from node.services.simulator.appliances import load_watts
from node.services.simulator.weather import DAY, solar_watts, temperature

__all__ = ["REGISTERS", "ZONE", "Household", "MeterState", "Phase"]

ZONE = ZoneInfo("Europe/Amsterdam")
REGISTERS = ("1-0:1.8.1", "1-0:1.8.2", "1-0:2.8.1", "1-0:2.8.2")
_GAS_STEP = 300


@dataclass(frozen=True, slots=True)
class Phase:
    """Volts in tenths, amperes, watts drawn and watts delivered."""

    decivolts: int
    amperes: int
    imported: int
    exported: int


@dataclass(frozen=True, slots=True)
class MeterState:
    """What the meter shows at `time` (seconds UTC): Wh, W, dm3."""

    time: int
    registers: Mapping[str, int]
    imported: int
    exported: int
    tariff: int
    phases: tuple[Phase, ...]
    gas: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Day:
    """One UTC day: net watts per second (negative: delivered), joules before each second per register, gas per hour."""

    net: array[int]
    joules: tuple[array[int], ...]
    gas: tuple[int, ...]


class Household:
    """Ask `at(time)` for any time from the origin's day on; days are computed in order and the newest two kept.

    `steady` are watts made in every second beside the sun, by a heat and power unit say; negative ones are used.
    """

    def __init__(self, seed: int, origin: int, phases: int = 1, solar_peak: int = 3600, steady: int = 0) -> None:
        if phases not in (1, 3):
            raise ValueError("a connection has one or three phases")
        if origin < 0 or solar_peak < 0:
            raise ValueError("origin and solar peak must not be negative")
        self._seed = seed
        self._phases = phases
        self._peak = solar_peak
        self._steady = steady
        self._first = origin // DAY
        rng = Random(f"{seed}:meter")  # noqa: S311 - a simulated household, nothing secret
        start = tuple(rng.randrange(500_000, 9_000_000) * 3600 for _ in REGISTERS)
        # Registers in joules and gas in dm3 at the beginning of each day that was reached.
        self._starts: list[tuple[tuple[int, ...], int]] = [(start, rng.randrange(100_000, 5_000_000))]
        self._days: dict[int, _Day] = {}

    @property
    def begin(self) -> int:
        """The first second that can be asked for."""
        return self._first * DAY

    def at(self, time: int) -> MeterState:
        """The meter at `time`. Raises ValueError before the origin's day."""
        number, second = divmod(time, DAY)
        if number < self._first:
            raise ValueError("the meter did not exist yet")
        day = self._day(number)
        joules, _ = self._starts[number - self._first]
        counts = (base + part[second] for base, part in zip(joules, day.joules, strict=True))
        registers = MappingProxyType({code: count // 3600 for code, count in zip(REGISTERS, counts, strict=True)})
        net = day.net[second]
        return MeterState(
            time=time,
            registers=registers,
            imported=max(net, 0),
            exported=max(-net, 0),
            tariff=_tariff(time),
            phases=self._split(time, net),
            gas=self._gas(number, second),
        )

    def _gas(self, number: int, second: int) -> tuple[int, int]:
        """Captured every five minutes; within an hour the volume rises evenly."""
        day = self._day(number)
        captured = second - second % _GAS_STEP
        hour, rest = divmod(captured, 3600)
        volume = self._starts[number - self._first][1] + sum(day.gas[:hour]) + day.gas[hour] * rest // 3600
        return number * DAY + captured, volume

    def _split(self, time: int, net: int) -> tuple[Phase, ...]:
        share, rest = divmod(abs(net), self._phases)
        phases = []
        for index in range(self._phases):
            watts = share + (rest if index == 0 else 0)
            # A multiplicative hash of the second stands in for the noise of the grid.
            decivolts = 2300 + (time * 2_654_435_761 + index * 40_503 >> 7) % 61 - 30
            drawn, delivered = (watts, 0) if net >= 0 else (0, watts)
            phases.append(Phase(decivolts, (watts * 10 + decivolts // 2) // decivolts, drawn, delivered))
        return tuple(phases)

    def _day(self, number: int) -> _Day:
        while len(self._starts) <= number - self._first:
            self._append_start(self._first + len(self._starts) - 1)
        return self._made(number)

    def _made(self, number: int) -> _Day:
        """The last two that were made are kept: where one ends, the next one begins."""
        day = self._days.get(number)
        if day is None:
            day = self._days[number] = self._compute(number)
            if len(self._days) > 2:
                del self._days[next(iter(self._days))]
        return day

    def _append_start(self, number: int) -> None:
        """Where the day after `number` begins."""
        day = self._made(number)
        joules, gas = self._starts[number - self._first]
        after = tuple(base + part[DAY] for base, part in zip(joules, day.joules, strict=True))
        self._starts.append((after, gas + sum(day.gas)))

    def _compute(self, number: int) -> _Day:
        rng = Random(f"{self._seed}:{number}")  # noqa: S311 - a simulated household, nothing secret
        noon = datetime.fromtimestamp(number * DAY + DAY // 2, UTC).astimezone(ZONE)
        offset = noon.utcoffset()
        assert offset is not None, "a zone has an offset"  # noqa: S101 - for the type checker
        load = load_watts(number, int(offset.total_seconds()), rng)
        sun = solar_watts(number, self._peak, rng)
        net = array("l", (used - made - self._steady for used, made in zip(load, sun, strict=True)))
        low = [_tariff(number * DAY + hour * 3600) == 1 for hour in range(24)]
        joules = tuple(
            array("q", accumulate(_booked(net, low, at_low, delivered), initial=0))
            for delivered in (False, True)
            for at_low in (True, False)
        )
        return _Day(net, joules, tuple(_gas_of_hour(number, hour, rng) for hour in range(24)))


def _booked(net: array[int], low: list[bool], at_low: bool, delivered: bool) -> list[int]:
    """Joules per second that one register counts: of its direction, at its tariff."""
    joules: list[int] = []
    for hour, is_low in enumerate(low):
        if is_low is not at_low:
            joules += [0] * 3600
        else:
            part = net[hour * 3600 : hour * 3600 + 3600]
            joules += [-w if w < 0 else 0 for w in part] if delivered else [w if w > 0 else 0 for w in part]
    return joules


def _tariff(time: int) -> int:
    """1 (low) at night and on weekends, 2 (normal) otherwise, by local time."""
    local = datetime.fromtimestamp(time, ZONE)
    return 1 if local.weekday() >= 5 or not 7 <= local.hour < 23 else 2


def _gas_of_hour(number: int, hour: int, rng: Random) -> int:
    """dm3 burnt: heating below 16 degrees by day, little at night, hot water in the morning and evening."""
    cold = max(0.0, 16.0 - temperature(number, hour))
    awake = 1.0 if 5 <= hour < 21 else 0.25
    water = rng.randrange(60, 180) if hour in (6, 7, 18, 20) else rng.randrange(0, 8)
    return int(55 * cold * awake * rng.uniform(0.8, 1.2)) + water
