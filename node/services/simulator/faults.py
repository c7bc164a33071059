"""What goes wrong on purpose, and how: the same telegram always breaks in the same way.

damage N        one byte of every Nth telegram is changed
truncate N      every Nth telegram stops in the middle
interleave N    every Nth telegram is broken off by a whole copy of itself and then goes on
clock S         the meter's clock is S seconds wrong (negative: behind)
2099            the meter's clock is in 2099
stuck           the meter's clock stands still
none            all of it off
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.services.simulator.errors import CommandRefused

__all__ = ["YEAR_2099", "Faults", "set_fault"]

YEAR_2099 = 4_070_908_800  # 2099-01-01T00:00:00Z
_RATES = ("damage", "truncate", "interleave")


@dataclass(frozen=True, slots=True)
class Faults:
    """Rates are 1 in n, 0 is off. `clock` in seconds; `stuck_at` is the time that a standing clock shows."""

    damage: int = 0
    truncate: int = 0
    interleave: int = 0
    clock: int = 0
    year_2099: bool = False
    stuck_at: int | None = None

    def shown_time(self, time: int) -> int:
        """What the meter's clock shows at `time`."""
        if self.stuck_at is not None:
            return self.stuck_at
        if self.year_2099:
            return YEAR_2099 + time % 86400
        return time + self.clock

    def of(self, number: int) -> str | None:
        """What befalls the telegram with this number, counted from 1."""
        for name in _RATES:
            rate = getattr(self, name)
            if rate and number % rate == 0:
                return name
        return None

    @staticmethod
    def apply(fault: str | None, telegram: bytes, number: int) -> bytes:
        """The bytes that go on the wire."""
        # A multiplicative hash spreads the places; the first byte and the last lines stay, to hit the inside.
        place = 1 + number * 2_654_435_761 % (len(telegram) - 10)
        if fault == "damage":
            changed = telegram[place] ^ (1 + number % 7)
            return telegram[:place] + bytes([changed]) + telegram[place + 1 :]
        if fault == "truncate":
            return telegram[:place]
        if fault == "interleave":
            return telegram[:place] + telegram + telegram[place:]
        return telegram


def set_fault(faults: Faults, words: list[str], now: int) -> Faults:
    """Applies one command of the module's list. Raises CommandRefused."""
    match words:
        case ["none"]:
            return Faults()
        case ["2099"]:
            return replace(faults, year_2099=True)
        case ["stuck"]:
            return replace(faults, stuck_at=now)
        case ["clock", text]:
            return replace(faults, clock=_whole(text, -(10**9)))
        case ["damage", text]:
            return replace(faults, damage=_whole(text, 0))
        case ["truncate", text]:
            return replace(faults, truncate=_whole(text, 0))
        case ["interleave", text]:
            return replace(faults, interleave=_whole(text, 0))
        case _:
            raise CommandRefused("fault takes: damage N, truncate N, interleave N, clock S, 2099, stuck or none")


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise CommandRefused(f"{text!r} is not a whole number") from None
    if not least <= number <= 10**9:
        raise CommandRefused(f"{number} is out of range")
    return number
