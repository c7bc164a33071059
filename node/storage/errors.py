"""Errors of the storage.

```
NodeError
└── StorageError
    ├── SchemaTooNew (NeedsPerson)      the database was written by a newer program
    ├── DatabaseUnusable (NeedsPerson)  it is no database of ours, damaged, or cannot be written
    ├── StorageFull (RecoverableError)  the disk took no more; nothing of the transaction was written
    ├── DuplicateParcel (Conflict)      this parcel was taken in before
    ├── JournalClosed (RecoverableError) the node is shutting down; nothing was written
    └── JournalDiffers (FatalError)     the journal, replayed, does not give the stored states
```
"""

from __future__ import annotations

from node.errors import Conflict, FatalError, NeedsPerson, NodeError, RecoverableError

__all__ = [
    "DatabaseUnusable",
    "DuplicateParcel",
    "JournalClosed",
    "JournalDiffers",
    "SchemaTooNew",
    "StorageError",
    "StorageFull",
]


class StorageError(NodeError):
    """Root of the storage's errors."""


class SchemaTooNew(StorageError, NeedsPerson):
    """Going on would lose what the newer program wrote."""

    default_remedy = "Install the version of Wattpact that last used this database, or a newer one."


class DatabaseUnusable(StorageError, NeedsPerson):
    """The file or server cannot serve as our database."""

    default_remedy = "Check [storage] url, the free space and the rights on the data folder."


class StorageFull(StorageError, RecoverableError):
    """The transaction was undone; the same call works once there is room."""

    code = "storage_full"
    default_remedy = "Make room on the disk of the data folder; the node goes on by itself."


class DuplicateParcel(StorageError, Conflict):
    """A parcel id is taken in once."""

    default_remedy = "Nothing to do: the first copy was taken in."


class JournalClosed(StorageError, RecoverableError):
    """The events were not written; tell them again after the start."""


class JournalDiffers(StorageError, FatalError):
    """A reducer changed its mind about old events, or the tables were edited by hand."""
