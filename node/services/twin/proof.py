"""Whether paths lead from a twin's entries to the root that was anchored. Pure."""

from __future__ import annotations

from contracts.nettings import leaf_of, root_over
from node.projection.twin_events import TwinAnchor

__all__ = ["proven"]

_NODE = 32
_DEEPEST = 32  # levels: more leaves than any batch has


def proven(anchor: TwinAnchor) -> bool:
    """Whether every entry of the anchor has a path, and each leads to the root."""
    return len(anchor.hashes) == len(anchor.paths) > 0 and all(
        len(path) % _NODE == 0
        and len(path) <= _DEEPEST * _NODE
        and root_over(leaf_of(each), [path[at : at + _NODE] for at in range(0, len(path), _NODE)]) == anchor.root
        for each, path in zip(anchor.hashes, anchor.paths, strict=True)
    )
