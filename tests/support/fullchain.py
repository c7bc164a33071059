"""A real chain full of the registry's events, made quickly: batches of messages whose signer is the caller itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from eth_abi.abi import encode

from contracts.bindings import consent_registry as abi
from tests.support.anvil import Anvil

__all__ = ["FullChain", "fill"]

_REGISTER, _GRANT, _REVOKE, _COMMIT = 1, 5, 6, 8
_GRANT_TYPE: Final = "(address,address,bytes32,bytes32[],uint40,uint40,uint32,bytes32,uint256,uint40)"
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


def _streams(owner: bytes) -> list[tuple[bytes, bytes]]:
    """Name hashes and messages."""
    types = ["address", "bytes32", "address", "bytes32", "uint40", "uint32", "uint256", "uint40"]
    names = [_word("name", n) for n in range(_STREAMS)]
    made = [encode(types, [owner, name, owner, _word("key", n), 0, 900, n, _FAR]) for n, name in enumerate(names)]
    return list(zip(names, made, strict=True))


def _items(owner: bytes, sids: Sequence[bytes], count: int) -> Iterator[abi.Item]:
    """Three grants, a commit, a revocation of a grant that nobody gave, and so on."""
    epochs = dict.fromkeys(sids, 0)
    for n in range(count):
        if n % 5 == 3:
            sid = sids[n % len(sids)]
            epochs[sid] += 1
            body = encode(["bytes32", "uint64", "bytes32"], [sid, epochs[sid], _word("commit", n)])
            yield abi.Item(_COMMIT, body, b"", b"")
        elif n % 5 == 4:
            body = encode(["address", "bytes32", "bytes32"], [owner, _word("grant", n), bytes(32)])
            yield abi.Item(_REVOKE, body, b"", b"")
        else:
            reader = _word("reader", n % 200)[-20:]
            chosen = [sids[n % len(sids)], sids[(n + 7) % len(sids)]]
            grant = (owner, reader, _word("rkey", n), chosen, 0, _END, 1, _word("text", n), 1_000 + n, _FAR)
            yield abi.Item(_GRANT, encode([_GRANT_TYPE], [grant]), b"", b"")


async def fill(chain: Anvil, registry: bytes, count: int, per_block: int) -> FullChain:
    """Put `count` messages on chain, `per_block` in a block; anvil mines on demand."""
    owner = chain.signers[0].address
    first = (await chain.head()).number + 1
    await _send(chain, registry, [abi.Item(_REGISTER, body, b"", b"") for _, body in _streams(owner)])
    logs = await chain.rpc.logs([registry], first, first)
    sids = [log.topics[1] for log in logs if len(log.topics) > 1]
    assert len(sids) == _STREAMS, logs[:1]
    waiting: list[abi.Item] = []
    for item in _items(owner, sids, count):
        waiting.append(item)
        if len(waiting) == per_block:
            await _send(chain, registry, waiting)
            waiting = []
    if waiting:
        await _send(chain, registry, waiting)
    return FullChain(count + _STREAMS, first, (await chain.head()).number)


async def _send(chain: Anvil, registry: bytes, items: Sequence[abi.Item]) -> None:
    query = {
        "from": "0x" + chain.signers[0].address.hex(),
        "to": "0x" + registry.hex(),
        "data": "0x" + abi.encode_batch(items).hex(),
        "gas": hex(_GAS),
    }
    await chain.ask("eth_sendTransaction", query)
    await chain.mine()
