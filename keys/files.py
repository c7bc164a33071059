"""Files that hold secrets: created once, whole or not at all, readable by their owner only.

A file appears under its name only when its bytes are on the disk: it is written and flushed under a temporary name,
then linked to its own name (a link, unlike a rename, fails if the name is taken), then the folder is flushed.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from keys.errors import EntryExists, KeystoreDamaged, KeystoreError, UnsafePermissions

__all__ = ["check_folder", "create_file", "make_folder", "read_file", "shred_file", "sweep_folder"]

_TEMPORARY = ".tmp-"
_STALE_SECONDS = 3600
_AT_ONCE = 1 << 20


def make_folder(folder: Path) -> None:
    """Create the folder (and its parents) with mode 0700, or check the one that exists."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        check_folder(folder)
        return
    except OSError as error:
        raise KeystoreError(f"{folder}: cannot be created: {error.strerror}") from error
    folder.chmod(0o700)  # the process's mask may have taken bits away from the owner


def check_folder(folder: Path) -> None:
    """UnsafePermissions unless only the owner may enter; KeystoreError unless it is a folder that can be read."""
    try:
        status = folder.lstat()
    except OSError as error:
        raise KeystoreError(f"{folder}: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise KeystoreError(f"{folder}: is not a folder (links are not followed)")
    _check_owner(folder, status, "700")


def _check_owner(path: Path, status: os.stat_result, mode: str) -> None:
    if status.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        raise UnsafePermissions(f"{path}: belongs to user {status.st_uid}; run: chown {os.geteuid()} '{path}'")
    if status.st_mode & 0o077:
        raise UnsafePermissions(
            f"{path}: others may read or change it (mode {status.st_mode & 0o777:o}); run: chmod {mode} '{path}'"
        )


def create_file(path: Path, data: bytes) -> None:
    """Write a new file with mode 0600; EntryExists if the name is taken. After return it survives a power cut."""
    temporary = path.parent / f"{_TEMPORARY}{os.urandom(8).hex()}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.link(temporary, path, follow_symlinks=False)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise EntryExists(f"{path}: exists and is not replaced; choose another name or delete it first") from error
    except OSError as error:
        raise KeystoreError(f"{path}: cannot be written: {error.strerror}; the folder needs hard links") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a file that only its owner may read; FileNotFoundError, UnsafePermissions, KeystoreDamaged."""
    try:
        # Not blocking: somebody may have put a pipe in the file's place.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeystoreError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeystoreDamaged(f"{path}: is not a file; remove it and restore the file from a backup")
        _check_owner(path, status, "600")
        if status.st_size > limit:
            raise KeystoreDamaged(f"{path}: larger than {limit} bytes, so not ours; restore it from a backup")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit + 1)
    finally:
        os.close(descriptor)


def shred_file(path: Path) -> None:
    """Overwrite with random bytes, flush, remove; FileNotFoundError if there is none.

    Not promised: on flash and copy-on-write file systems the old blocks may live on until they are reused. What is
    there is encrypted.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            left = os.fstat(descriptor).st_size
            while left > 0:  # a database may be larger than the memory
                left -= file.write(os.urandom(min(left, _AT_ONCE)))
            file.flush()
            os.fsync(descriptor)
        path.unlink()
        _sync_folder(path.parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeystoreError(f"{path}: cannot be deleted: {error.strerror}") from error


def sweep_folder(folder: Path) -> None:
    """Remove what a killed process left half-written; younger ones may belong to a process that is writing now."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):
            if path.lstat().st_mtime < time.time() - _STALE_SECONDS:
                path.unlink()
