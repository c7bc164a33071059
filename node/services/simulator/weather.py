"""Sun, clouds and temperature of one UTC day in the middle of the country, from a seed. Plausible, not a forecast."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

__all__ = ["DAY", "day_of_year", "solar_watts", "temperature"]

DAY = 86400
_LATITUDE = math.radians(52.1)
_LONGITUDE_HOURS = 5.2 / 15


def day_of_year(day: int) -> float:
    """Days since the winter solstice, 0..365, of the UTC day number `day` (days since 1970)."""
    return (day + 10) % 365.2425


def _sine_of_elevation(day: int, minute: int) -> float:
    declination = -math.radians(23.44) * math.cos(2 * math.pi * day_of_year(day) / 365.2425)
    hour_angle = 2 * math.pi * ((minute / 60 + _LONGITUDE_HOURS) / 24 - 0.5)
    return math.sin(_LATITUDE) * math.sin(declination) + math.cos(_LATITUDE) * math.cos(declination) * math.cos(
        hour_angle
    )


def solar_watts(day: int, peak: int, rng: Random) -> list[int]:
    """What the inverter delivers in each second of the day: `peak` watts at most, clouds by a slow random walk."""
    overcast = rng.betavariate(1.6, 1.6)
    cover = overcast
    minutes = []
    for minute in range(24 * 60 + 1):
        cover = min(1.0, max(0.0, cover + 0.15 * (overcast - cover) + rng.gauss(0, 0.08)))
        sine = _sine_of_elevation(day, minute)
        minutes.append(0.0 if sine <= 0 else peak * sine**1.15 * (1 - 0.82 * cover))
    seconds = []
    for left, right in pairwise(minutes):
        step = (right - left) / 60
        seconds += [int(left + step * second) for second in range(60)]
    return seconds


def temperature(day: int, hour: int) -> float:
    """Outdoor temperature in degrees Celsius, without weather: season and hour of the day only."""
    season = 10.5 - 7.5 * math.cos(2 * math.pi * (day_of_year(day) - 25) / 365.2425)
    return season - 3.0 * math.cos(2 * math.pi * (hour - 3) / 24)
