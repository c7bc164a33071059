"""Run by the crash test: erases a reader and is killed after the named step.

python -m tests.unit.channels.stores.erasing_child <url> <keystore folder> <step>
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from channels.stores.sql import SqlStore
from channels.stores.vault import KeystoreVault
from keys.keystore import Keystore

__all__ = ["AT", "ERASURE", "GRANT", "KEY", "PASSPHRASE", "SID", "STEPS"]

KEY = b"\x77" * 32
SID, GRANT, ERASURE = b"\x01" * 32, b"\x0a" * 32, b"\x0e" * 32
PASSPHRASE = "only for this test"
AT = 77
STEPS = ("key", "rows", "scrub")


class Dying(KeystoreVault):
    """The process ends once the key is gone."""

    def destroy(self, name: bytes) -> None:
        super().destroy(name)
        os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, keystore: str, step: str) -> None:
    keys = Keystore.open(Path(keystore), PASSPHRASE)
    store = await SqlStore.open(url, KEY, Dying(keys) if step == "key" else KeystoreVault(keys))
    await store.erase_reader(SID, GRANT, ERASURE, AT)
    if step == "scrub":
        await store.scrub()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
