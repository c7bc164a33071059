"""Draws one day of a stream as SVG: a provider's program in less than sixty lines.

    wattpact stream read electricity/1s --from -1d --limit 100000 --final --json |
        python -m channels.examples.plot_day > day.svg

Every line is one reading: {"time": 1767225600, "provisional": false, "values": {"import_w": 412, ...}, ...}.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable

__all__ = ["drawing", "quarters"]

WIDTH, HEIGHT, STEP_S, DAY_S = 960, 320, 900, 86_400


def quarters(lines: Iterable[str], value: str) -> dict[int, int]:
    """The mean of `value` in each quarter of an hour of the last day there is, by the quarter's first second."""
    found: dict[int, list[int]] = defaultdict(list)
    for line in lines:
        reading = json.loads(line)
        if not reading["provisional"] and value in reading["values"]:
            found[reading["time"] // STEP_S * STEP_S].append(reading["values"][value])
    last = max(found, default=0)
    return {at: sum(each) // len(each) for at, each in sorted(found.items()) if at > last - DAY_S}


def drawing(means: dict[int, int], value: str) -> str:
    """Bars over the hours of the day in UTC."""
    highest = max(means.values(), default=0) or 1
    wide = WIDTH * STEP_S / DAY_S
    bars = [
        f'<rect x="{at % DAY_S * WIDTH / DAY_S:.1f}" y="{HEIGHT - mean * HEIGHT / highest:.1f}" '
        f'width="{wide - 1:.1f}" height="{mean * HEIGHT / highest:.1f}"><title>{mean}</title></rect>'
        for at, mean in means.items()
    ]
    hours = [f'<text x="{h * WIDTH / 24:.0f}" y="{HEIGHT + 16}">{h}</text>' for h in range(0, 24, 3)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -24 {WIDTH} {HEIGHT + 44}" font-size="12" fill="#246">'
        f'<text y="-8">{value}, highest {highest}</text>{"".join(bars)}{"".join(hours)}</svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws one day of readings as SVG.")
    parser.add_argument("--value", default="import_w", help="which value of a reading; import_w unless told")
    value = parser.parse_args().value
    sys.stdout.write(drawing(quarters(sys.stdin, value), value))


if __name__ == "__main__":
    main()
