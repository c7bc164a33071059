"""The value that shows whether a SQL store is opened with the key that it was made with."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from channels.stores import schema as t
from channels.stores.sealed import StoreSeal

__all__ = ["prepare"]

_KEY_CHECK = "key_check"


def prepare(c: Connection, seal: StoreSeal) -> None:
    """Open the value that the first key sealed, so that a wrong key is found at start and not a year later."""
    t.upgrade(c)
    query = select(t.meta.c.value).where(t.meta.c.key == _KEY_CHECK)
    sealed = c.execute(query).scalar_one_or_none()
    if sealed is None:
        value = seal.seal(_KEY_CHECK, b"", b"", b"wattpact")
        c.execute(insert(t.meta).values(key=_KEY_CHECK, value=value))
    else:
        seal.open(_KEY_CHECK, b"", b"", sealed)
