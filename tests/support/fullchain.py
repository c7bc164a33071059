"""A real chain full of the registry's events, made quickly: batches of messages whose signer is the caller itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.bindings import consent_registry as abi
from tests.support.anvil import Anvil

__all__ = ["FullChain", "fill"]

_END: Final = 2**40 - 1
_STREAMS: Final = 40
_GAS: Final = 16_000_000
_FAR: Final = 4_000_000_000


@dataclass(frozen=True, slots=True)
class FullChain:
    """`events` logs of the registry in the blocks from `first` to `last`."""

    events: int
    first: int
    last: int


def _word(kind: str, number: int) -> bytes:
    return kind.encode().ljust(24, b".") + number.to_bytes(8, "big")


def _streams(owner: bytes) -> list[bytes]:
    """Calls that register the streams."""
    made = [
        abi.RegisterStream(owner, _word("name", n), owner, _word("key", n), 0, 900, n, _FAR) for n in range(_STREAMS)
    ]
    return [abi.encode_register_stream(message, b"", b"") for message in made]


def _calls(owner: bytes, sids: Sequence[bytes], count: int) -> Iterator[bytes]:
    """Three grants, a commit, a revocation of a grant that nobody gave, and so on."""
    epochs = dict.fromkeys(sids, 0)
    for n in range(count):
        if n % 5 == 3:
            sid = sids[n % len(sids)]
            epochs[sid] += 1
            yield abi.encode_commit(abi.StreamCommit(sid, epochs[sid], _word("commit", n)), b"")
        elif n % 5 == 4:
            yield abi.encode_revoke(abi.Revoke(owner, _word("grant", n), bytes(32)), b"")
        else:
            reader = _word("reader", n % 200)[-20:]
            chosen = (sids[n % len(sids)], sids[(n + 7) % len(sids)])
            grant = abi.Grant(owner, reader, _word("rkey", n), chosen, 0, _END, 1, _word("text", n), 1_000 + n, _FAR)
            yield abi.encode_grant(grant, b"")


async def fill(chain: Anvil, registry: bytes, count: int, per_block: int) -> FullChain:
    """Put `count` messages on chain, `per_block` in a block; anvil mines on demand."""
    owner = chain.signers[0].address
    first = (await chain.head()).number + 1
    await _send(chain, registry, _streams(owner))
    logs = await chain.rpc.logs([registry], first, first)
    sids = [log.topics[1] for log in logs if len(log.topics) > 1]
    assert len(sids) == _STREAMS, logs[:1]
    waiting: list[bytes] = []
    for call in _calls(owner, sids, count):
        waiting.append(call)
        if len(waiting) == per_block:
            await _send(chain, registry, waiting)
            waiting = []
    if waiting:
        await _send(chain, registry, waiting)
    return FullChain(count + _STREAMS, first, (await chain.head()).number)


async def _send(chain: Anvil, registry: bytes, calls: Sequence[bytes]) -> None:
    query = {
        "from": "0x" + chain.signers[0].address.hex(),
        "to": "0x" + registry.hex(),
        "data": "0x" + abi.encode_batch(calls).hex(),
        "gas": hex(_GAS),
    }
    await chain.ask("eth_sendTransaction", query)
    await chain.mine()
