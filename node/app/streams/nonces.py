"""Nonces of signed messages: 256 to a word of the registry's bitmap, because a word in use costs less gas."""

from __future__ import annotations

import secrets

from node.app.memory import Memory

__all__ = ["next_nonce"]

_PER_WORD = 256


async def next_nonce(memory: Memory) -> int:
    """A nonce that this node has not given out. A lost database begins a new random word, so none is met twice."""
    found = await memory.facts.get("nonce", "next")
    nonce = int(found) if found is not None else secrets.randbits(248) * _PER_WORD
    after = nonce + 1 if (nonce + 1) % _PER_WORD else secrets.randbits(248) * _PER_WORD
    await memory.facts.set("nonce", "next", str(after))
    return nonce
