"""Pictures of a simulation as SVG, drawn with whole numbers, and the figures behind each as CSV (A-32)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from node.app.simulation.report import SlotSums

__all__ = ["energy_csv", "energy_picture", "money_csv", "money_picture", "price_csv", "price_picture"]

_WIDE: Final = 960
_HIGH: Final = 300
_LEFT: Final = 112
"""Pixels left of the axis: a sum of a dozen digits stands there."""
_COLOURS: Final = (("offered", "#f2c14e"), ("requested", "#8fb8de"), ("delivered", "#2e7d4f"))


def energy_picture(slots: Sequence[SlotSums]) -> str:
    """Three bars a slot: offered, requested, delivered, in kWh."""
    highest = max([max(slot.offered, slot.requested) for slot in slots], default=0) or 1
    step = (_WIDE - _LEFT) * 100 // max(1, len(slots))
    parts: list[str] = []
    for place, slot in enumerate(slots):
        for number, (name, colour) in enumerate(_COLOURS):
            value = int(getattr(slot, name))
            high = value * _HIGH // highest
            left = _LEFT * 100 + place * step + number * step * 3 // 10
            parts.append(
                f'<rect x="{left // 100}.{left % 100:02d}" y="{_HIGH - high}" width="{max(1, step * 28 // 10_000)}" '
                f'height="{high}" fill="{colour}"><title>{name} {value} Wh</title></rect>'
            )
    legend = "".join(
        f'<rect x="{_LEFT + 130 * n}" y="-34" width="12" height="12" fill="{colour}"/>'
        f'<text x="{_LEFT + 130 * n + 18}" y="-24">{name}</text>'
        for n, (name, colour) in enumerate(_COLOURS)
    )
    return _frame("energy per slot", "".join(parts) + legend, f"{highest // 1_000} kWh", len(slots), step)


def price_picture(slots: Sequence[SlotSums]) -> str:
    """The mean price of each slot in which something was delivered."""
    highest = max((slot.price for slot in slots), default=0) or 1
    step = (_WIDE - _LEFT) * 100 // max(1, len(slots))
    dots = [
        (_LEFT + (place * step + step // 2) // 100, _HIGH - slot.price * _HIGH // highest, slot.price)
        for place, slot in enumerate(slots)
        if slot.delivered
    ]
    line = " ".join(f"{x},{y}" for x, y, _ in dots)
    marks = "".join(f'<circle cx="{x}" cy="{y}" r="4" fill="#b3412f"><title>{p}</title></circle>' for x, y, p in dots)
    drawn = f'<polyline points="{line}" fill="none" stroke="#b3412f" stroke-width="2"/>{marks}'
    return _frame("price per kWh, minor units", drawn, str(highest), len(slots), step)


def money_picture(slots: Sequence[SlotSums]) -> str:
    """What sellers were owed and buyers owed from the first slot on, which is the same money."""
    sums = _cumulative(slots)
    highest = max(sums, default=0) or 1
    step = (_WIDE - _LEFT) * 100 // max(1, len(slots))
    dots = [
        (_LEFT + (place * step + step // 2) // 100, _HIGH - each * _HIGH // highest) for place, each in enumerate(sums)
    ]
    line = " ".join(f"{x},{y}" for x, y in dots)
    marks = "".join(
        f'<circle cx="{x}" cy="{y}" r="3" fill="#4b3f72"><title>{each}</title></circle>'
        for (x, y), each in zip(dots, sums, strict=True)
    )
    drawn = f'<polyline points="{line}" fill="none" stroke="#4b3f72" stroke-width="2"/>{marks}'
    return _frame("income of sellers, cost of buyers, cumulative, minor units", drawn, str(highest), len(slots), step)


def _cumulative(slots: Sequence[SlotSums]) -> list[int]:
    return list(accumulate(slot.amount for slot in slots))


def energy_csv(slots: Sequence[SlotSums]) -> str:
    """The figures of the energy picture, in Wh."""
    rows = [(slot.start, slot.offered, slot.requested, slot.matched, slot.delivered) for slot in slots]
    return _csv("start,offered_wh,requested_wh,matched_wh,delivered_wh", rows)


def price_csv(slots: Sequence[SlotSums]) -> str:
    """The figures of the price picture; a slot in which nothing was delivered has no price."""
    return _csv("start,price_per_kwh", [(slot.start, slot.price if slot.delivered else "") for slot in slots])


def money_csv(slots: Sequence[SlotSums]) -> str:
    """The figures of the money picture."""
    rows = [(slot.start, slot.amount, total) for slot, total in zip(slots, _cumulative(slots), strict=True)]
    return _csv("start,amount,cumulative", rows)


def _csv(header: str, rows: Iterable[tuple[object, ...]]) -> str:
    return "".join(f"{line}\r\n" for line in (header, *(",".join(map(str, row)) for row in rows)))


def _frame(title: str, inner: str, top: str, slots: int, step: int) -> str:
    every = max(1, slots // 12)
    labels = "".join(
        f'<text x="{_LEFT + (place * step + step // 2) // 100}" y="{_HIGH + 18}" text-anchor="middle">{place}</text>'
        for place in range(0, slots, every)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -64 {_WIDE + 16} {_HIGH + 100}" font-size="13" '
        f'font-family="sans-serif" fill="#223"><rect y="-64" width="{_WIDE + 16}" height="{_HIGH + 100}" fill="#fff"/>'
        f'<text x="{_LEFT}" y="-46" font-size="16">{title}</text>{inner}'
        f'<line x1="{_LEFT}" y1="0" x2="{_LEFT}" y2="{_HIGH}" stroke="#223"/>'
        f'<line x1="{_LEFT}" y1="{_HIGH}" x2="{_WIDE}" y2="{_HIGH}" stroke="#223"/>'
        f'<text x="{_LEFT - 6}" y="12" text-anchor="end">{top}</text>'
        f'<text x="{_LEFT - 6}" y="{_HIGH}" text-anchor="end">0</text>{labels}'
        f'<text x="{_WIDE}" y="{_HIGH + 34}" text-anchor="end">slot</text></svg>\n'
    )
