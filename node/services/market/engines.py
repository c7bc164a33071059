"""Which engines there are: those that come with the node, and those that installed packages add.

A package adds one by an entry point of the group `wattpact.matching` whose object is an `EngineKind`:

    [project.entry-points."wattpact.matching"]
    my_rule = "my_package:ENGINE"

Engines of the node are named here and not looked up, so no installed package can put itself in their place; a package
that uses a name twice is refused by that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Final

from node.errors import ConfigError
from node.services.market.auction import PAY_AS_BID, UNIFORM_PRICE
from node.services.market.continuous import CONTINUOUS
from node.services.market.engine import EngineKind
from node.services.market.seed import SEED_1TO1

__all__ = ["GROUP", "SHIPPED", "known_engines", "load_engine"]

GROUP: Final = "wattpact.matching"
SHIPPED: Final[Mapping[str, EngineKind]] = MappingProxyType(
    {"continuous": CONTINUOUS, "pay_as_bid": PAY_AS_BID, "seed_1to1": SEED_1TO1, "uniform_price": UNIFORM_PRICE}
)
_FIELD: Final = "market.engine"


def known_engines() -> tuple[str, ...]:
    """Every name that a config may use; nothing is imported for it."""
    return tuple(sorted({*SHIPPED, *(point.name for point in entry_points(group=GROUP))}))


def load_engine(name: str) -> EngineKind:
    """The engine of this name. Raises ConfigError for one that is unknown, named twice, or no engine."""
    if name in SHIPPED:
        return SHIPPED[name]
    points = list(entry_points(group=GROUP, name=name))
    if not points:
        known = ", ".join(known_engines())
        raise ConfigError(f"There is no matching engine {name}.", field=_FIELD, remedy=f"Choose one of: {known}.")
    if len({point.value for point in points}) > 1:
        raise ConfigError(
            f"Several installed packages name a matching engine {name}.", field=_FIELD, remedy="Remove all but one."
        )
    return _loaded(points[0])


def _loaded(point: EntryPoint) -> EngineKind:
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"The matching engine {point.name} cannot be loaded: {error}.",
            field=_FIELD,
            remedy=f"Install the package of {point.value} again, or choose another engine.",
        ) from error
    if not isinstance(found, EngineKind):
        raise ConfigError(
            f"{point.value} is no EngineKind.", field=_FIELD, remedy="Ask the author of the package, or choose another."
        )
    return found
