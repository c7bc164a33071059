"""One nonce owner per key: an advisory file lock that dies with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from node.ledger.errors import SenderBusy
from node.types import address_to_text

__all__ = ["NonceLock"]


class NonceLock:
    """Held while this process sends from one address on one chain. A context manager; safe to release twice.

    The lock binds processes that share the folder. Somebody with the same key elsewhere is seen by the sender instead,
    when a nonce turns out to be used by a transaction that is not ours.
    """

    def __init__(self, folder: Path, chain_id: int, address: bytes) -> None:
        self._path = folder / f"sender-{chain_id}-{address.hex()}.lock"
        self._address = address
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises SenderBusy when another process, or another sender of this one, holds it."""
        if self._file is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 32, 0).decode("ascii", "replace").strip()
            os.close(file)
            who = f" (process {holder})" if holder.isdigit() else ""
            raise SenderBusy(f"another process{who} already sends from {address_to_text(self._address)}") from None
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        self._file = file

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two processes lock two files of one name."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> NonceLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
