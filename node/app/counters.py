"""What the meter's counters show now, for whoever signs them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Counters"]


class Counters:
    """The newest believed reading of the meter: its time (seconds UTC) and its registers in Wh by OBIS code."""

    def __init__(self) -> None:
        self.meter_time = 0
        self.values: Mapping[str, int] = {}

    def note(self, meter_time: int, values: Mapping[str, int]) -> None:
        """A newer reading; an older one (a backlog) changes nothing."""
        if meter_time > self.meter_time:
            self.meter_time, self.values = meter_time, values
