"""Identities, signed messages, sealing and the keystore. See the README beside this file.

`eth_account` imports a pairing library that raises the recursion limit of the whole process to 100,000. At that limit a
few kilobytes of nested JSON overflow the C stack and end the process, where the ordinary limit raises RecursionError.
Every program of ours imports this package, so the ordinary limit is put back here, and again by `keys.ethereum`, the
one module that imports that library.
"""

from __future__ import annotations

import sys

__all__ = ["ordinary_recursion"]

_ORDINARY_LIMIT = 1000  # CPython's own


def ordinary_recursion() -> None:
    """Put the recursion limit back to CPython's own where a library raised it."""
    if sys.getrecursionlimit() > _ORDINARY_LIMIT:
        sys.setrecursionlimit(_ORDINARY_LIMIT)


ordinary_recursion()
