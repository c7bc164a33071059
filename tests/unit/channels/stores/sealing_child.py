"""Run by the crash test: seals for ever and tells after every durable step how far it came.

python -m tests.unit.channels.stores.sealing_child <url> <key hex>
"""

from __future__ import annotations

import asyncio
import sys
from hashlib import sha256

from channels.stores.records import PendingReading, StoredCheckpoint, StoredEnvelope
from channels.stores.sql import SqlStore

__all__ = ["BATCH", "SID", "main"]

SID = b"\x01" * 32
INST = b"\x02" * 16
BATCH = 50


def envelope(seq: int) -> StoredEnvelope:
    data = b"envelope %d" % seq
    return StoredEnvelope(1, 5, INST, seq, sha256(data).digest(), data)


def checkpoint(first: int) -> StoredCheckpoint:
    data = b"checkpoint %d" % first
    return StoredCheckpoint(1, 5, INST, first, BATCH, sha256(data).digest(), data)


async def main(url: str, key: bytes) -> None:
    store = await SqlStore.open(url, key)
    state = await store.writer_record(SID)
    seq = 0 if state is None else int(state.progress)
    left = [row.id for row in await store.pending(SID)]
    while True:
        ids = left or list(await store.add_pending(SID, [PendingReading(seq, seq, 5, b"230 V")] * BATCH))
        left = []
        print(f"buffered {seq}", flush=True)
        rows = [envelope(seq + i) for i in range(BATCH)]
        await store.record_seal(SID, rows, ids, str(seq + BATCH).encode(), [checkpoint(seq)])
        seq += BATCH
        print(f"sealed {seq}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], bytes.fromhex(sys.argv[2])))
