"""The second process of `opening`: reads batches of sealed parcels from its input and writes what is in them.

Frames are a length (4 bytes, big end first) and a pickle; both ends are this program. First comes the key with its
readers, then batches of (time, parcels), each answered by one list. It ends with its input.
"""

from __future__ import annotations

import pickle
import signal
import sys
from typing import Any, BinaryIO

from keys.sealing import SealingKey
from node.app.garbage import collect_seldom
from node.app.opening import HEAD, Sealed, open_here

__all__ = ["serve"]


def _read(source: BinaryIO) -> Any:
    """The next frame's content; None at the end."""
    head = source.read(HEAD)
    if len(head) < HEAD:
        return None
    # Whoever writes here has started this process and given it its key.
    return pickle.loads(source.read(int.from_bytes(head, "big")))  # noqa: S301


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Until the input ends."""
    begin = _read(source)
    if begin is None:
        return
    seed, chain_id, readers = begin
    key = SealingKey.from_bytes(seed)
    while (batch := _read(source)) is not None:
        now, parcels = batch
        found = [open_here(key, readers, chain_id, now, Sealed(*each)) for each in parcels]
        content = pickle.dumps(found, pickle.HIGHEST_PROTOCOL)
        sink.write(len(content).to_bytes(HEAD, "big") + content)
        sink.flush()


if __name__ == "__main__":
    for _signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_signal, signal.SIG_IGN)  # the node's affair; what it still wants opened is opened
    collect_seldom()
    serve(sys.stdin.buffer, sys.stdout.buffer)
