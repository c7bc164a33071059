"""What may be written in the same transaction as events: the header chain, a parcel mark, a fact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from node.storage.bulk import Writes
from node.storage.errors import DuplicateParcel
from node.storage.schema import blocks, cursors, facts, parcels

__all__ = ["ChainUpdate", "Extra", "HeaderLike", "SeenParcel", "SeenParcels", "SetFact", "StoredHeader"]


class Extra(Protocol):
    """Something to write together with events, before what follows from them. An error undoes both."""

    def tell(self, writes: Writes) -> None: ...


class HeaderLike(Protocol):
    """A block header; 32-byte hashes, timestamp in seconds UTC."""

    @property
    def number(self) -> int: ...
    @property
    def hash(self) -> bytes: ...
    @property
    def parent(self) -> bytes: ...
    @property
    def timestamp(self) -> int: ...


@dataclass(frozen=True, slots=True)
class StoredHeader:
    number: int
    hash: bytes
    parent: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class ChainUpdate:
    """One step of the chain reader: forget headers above `rollback_to`, add `headers`, forget those below `keep_from`.

    `cursor` is kept as (name, number, hash). The events of the same call begin with LoggedRolledBack when
    `rollback_to` is set.
    """

    headers: Sequence[HeaderLike] = ()
    rollback_to: int | None = None
    keep_from: int = 0
    cursor: tuple[str, int, bytes] | None = None

    def tell(self, writes: Writes) -> None:
        if self.rollback_to is not None:
            writes.remove(blocks, ("number",), [(self.rollback_to,)], ">")
        rows = [(each.number, each.hash, each.parent, each.timestamp) for each in self.headers]
        writes.add(blocks, rows, overwrite=True)
        writes.remove(blocks, ("number",), [(self.keep_from,)], "<")
        if self.cursor is not None:
            writes.add(cursors, [self.cursor], overwrite=True)


@dataclass(frozen=True, slots=True)
class SeenParcel:
    """Take a parcel in once. Raises DuplicateParcel, and nothing of the call is written, if its id is known."""

    id: bytes
    expires_at: int

    def tell(self, writes: Writes) -> None:
        SeenParcels((self,)).tell(writes)


@dataclass(frozen=True, slots=True)
class SeenParcels:
    """At most 1,000 parcels. Raises DuplicateParcel if one of them is known, or among them twice."""

    seen: Sequence[SeenParcel]

    def tell(self, writes: Writes) -> None:
        rows = [(each.id, each.expires_at) for each in self.seen]
        writes.add_new(parcels, rows, DuplicateParcel("This message was taken in before."))


@dataclass(frozen=True, slots=True)
class SetFact:
    """Remember a JSON value under (namespace, name); None forgets it."""

    namespace: str
    name: str
    value: Any

    def tell(self, writes: Writes) -> None:
        if self.value is None:
            writes.remove(facts, ("namespace", "name"), [(self.namespace, self.name)])
            return
        text = json.dumps(self.value, sort_keys=True, separators=(",", ":"))
        writes.add(facts, [(self.namespace, self.name, text)], overwrite=True)
