"""Identities, signed messages, sealing and the keystore. See the README beside this file.

Importing `eth_account` imports a pairing library that raises the recursion limit of the whole process to 100,000. At
that limit a few kilobytes of nested JSON overflow the C stack and end the process, where the ordinary limit raises
RecursionError. Every program of ours imports this package, so the ordinary limit is put back here.
"""

from __future__ import annotations

import sys

import eth_account  # noqa: F401  (imported for its side effect, before it is undone)

_ORDINARY_LIMIT = 1000  # CPython's own

if sys.getrecursionlimit() > _ORDINARY_LIMIT:
    sys.setrecursionlimit(_ORDINARY_LIMIT)
