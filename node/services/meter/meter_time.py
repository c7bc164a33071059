"""The meter's time stamps: `YYMMDDhhmmssX` in local time, X = S in summer and W in winter, to seconds UTC.

Source: DSMR P1 companion standard 5.0.2 (TST). The letter decides, so the repeated hour of October is never
ambiguous. It is taken at its word even where it contradicts the calendar (a meter that keeps winter time all year
says W and means it); `plausible` tells of the contradiction, and the clock rule still sees whether the result is near
the gateway's clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from node.services.meter.errors import MalformedTelegram

__all__ = ["CENTRAL_EUROPE", "MeterTime", "is_summer", "read_meter_time"]

# Seconds that local winter time is ahead of UTC.
CENTRAL_EUROPE = 3600
_STAMP = re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)([SW])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MeterTime:
    """`seconds` UTC; `summer` is the meter's letter; `plausible` is False where it contradicts the EU calendar."""

    seconds: int
    summer: bool
    plausible: bool


def _last_sunday(year: int, month: int) -> int:
    """01:00 UTC on the last Sunday of a month with 31 days, as seconds: when all of the EU changes its clocks."""
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    change = last - timedelta(days=(last.weekday() + 1) % 7)
    return int((change - _EPOCH).total_seconds())


@lru_cache(maxsize=256)
def _summer_of(year: int) -> tuple[int, int]:
    return _last_sunday(year, 3), _last_sunday(year, 10)


def is_summer(seconds: int, year: int) -> bool:
    """Whether EU summer time (Directive 2000/84/EC) holds at `seconds` UTC, which must lie in `year`."""
    begin, end = _summer_of(year)
    return begin <= seconds < end


def read_meter_time(stamp: bytes, standard_offset: int = CENTRAL_EUROPE) -> MeterTime:
    """Reads 13 bytes. Raises MalformedTelegram for anything that is not a calendar date, an hour and a letter."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        raise MalformedTelegram("a time stamp is not YYMMDDhhmmss and S or W")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        local = datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise MalformedTelegram("a time stamp names a moment that no calendar has") from None
    summer = match.group(7) == b"S"
    apart = local - _EPOCH
    seconds = apart.days * 86400 + apart.seconds - standard_offset - (3600 if summer else 0)
    return MeterTime(seconds, summer, is_summer(seconds, 2000 + year) == summer)
