"""How deep a JSON text nests, found without recursion and before any parser sees it.

Parsers recurse: on a text of nothing but brackets the best of them raise, and others end the process. One linear pass.
"""

from __future__ import annotations

import re

__all__ = ["nesting"]

# Strings are passed over as units, an unterminated one too; possessive, so that nothing is tried twice.
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]++|[\]}]++', re.DOTALL)


def nesting(data: bytes) -> int:
    """The deepest level of lists and objects; for bytes that are not JSON some number, with no error."""
    depth = deepest = 0
    for match in _TOKENS.finditer(data):
        first = match[0][:1]
        if first in (b"[", b"{"):
            depth += len(match[0])
            deepest = max(deepest, depth)
        elif first != b'"':
            depth -= len(match[0])
    return deepest
