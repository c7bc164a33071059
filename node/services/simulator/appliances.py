"""What the household switches on during one day: runs of appliances, drawn from a seed, summed per second."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from random import Random

from node.services.simulator.weather import DAY, day_of_year

__all__ = ["load_watts"]

_HOUR = 3600
# (begin, seconds, watts), in seconds of local time since midnight
_Run = tuple[int, int, int]


def load_watts(day: int, offset: int, rng: Random) -> list[int]:
    """Watts drawn in each second of UTC day `day`. `offset`: seconds that local time is ahead of UTC on that day."""
    change = [0] * (DAY + 1)
    change[0] = 85 + rng.randrange(40)  # router, standby, ventilation
    for begin, seconds, watts in _runs(day, rng):
        start = (begin - offset) % DAY
        stop = min(start + seconds, DAY)
        change[start] += watts
        change[stop] -= watts
    noise = rng.randbytes(DAY)
    return [level + wobble % 11 for level, wobble in zip(accumulate(change[:DAY]), noise, strict=True)]


def _runs(day: int, rng: Random) -> Iterator[_Run]:
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday; 0 is Monday
    weekend = weekday >= 5
    yield from _fridge(rng)
    yield from _kitchen(weekend, rng)
    yield from _light_and_screen(day, weekend, rng)
    if weekday in (1, 3) or weekend:
        yield from _washing(int(rng.uniform(9, 15) * _HOUR) if weekend else int(rng.uniform(19, 21) * _HOUR), rng)
    if rng.random() < 0.7:
        yield from _dishwasher(int(rng.uniform(19.5, 22) * _HOUR))
    if weekday in (0, 2, 4) and rng.random() < 0.8:
        # A car on one phase of 16 A, after the low tariff has begun.
        yield int(23.2 * _HOUR), int(rng.uniform(0.3, 0.75) * _HOUR), 3680


def _fridge(rng: Random) -> Iterator[_Run]:
    at = rng.randrange(45 * 60)
    while at < DAY:
        yield at, 14 * 60 + rng.randrange(240), 95
        at += 42 * 60 + rng.randrange(600)


def _kitchen(weekend: bool, rng: Random) -> Iterator[_Run]:
    breakfast = rng.gauss(9.0 if weekend else 7.1, 0.3)
    for hour in (breakfast, breakfast + 0.2, rng.gauss(10.5, 0.5), rng.gauss(15.5, 0.7), rng.gauss(20.3, 0.5)):
        yield int(hour * _HOUR), 120 + rng.randrange(90), 1900  # kettle
    yield int((breakfast + 0.1) * _HOUR), 240, 900  # toaster
    dinner = rng.gauss(17.9, 0.35)
    for part in range(rng.randrange(9, 16)):  # hob with a thermostat
        yield int(dinner * _HOUR) + part * 150, 70 + rng.randrange(60), 1700
    if rng.random() < 0.4:
        for part in range(8):
            yield int(dinner * _HOUR) + part * 260, 150, 2100  # oven


def _light_and_screen(day: int, weekend: bool, rng: Random) -> Iterator[_Run]:
    winter = abs(day_of_year(day) - 182.6) / 182.6  # 1 at the winter solstice, 0 in June
    dusk = 22.0 - 5.3 * winter
    sleep = rng.gauss(23.6 if weekend else 22.9, 0.3)
    if sleep > dusk:
        yield int(dusk * _HOUR), int((sleep - dusk) * _HOUR), 60 + rng.randrange(80)
    if winter > 0.4:
        yield int(6.8 * _HOUR), int(1.4 * _HOUR), 70
    yield int(rng.uniform(18.8, 19.8) * _HOUR), int(rng.uniform(1.8, 3.2) * _HOUR), 130  # television
    if weekend or rng.random() < 0.5:
        yield int(rng.uniform(9, 11) * _HOUR), int(rng.uniform(4, 7) * _HOUR), 75  # someone works at home


def _washing(at: int, rng: Random) -> Iterator[_Run]:
    yield at, 1100 + rng.randrange(500), 2050
    yield at + 1700, 3000, 180
    yield at + 4700, 600, 520


def _dishwasher(at: int) -> Iterator[_Run]:
    yield at, 900, 1950
    yield at + 900, 2400, 60
    yield at + 3300, 800, 1950
