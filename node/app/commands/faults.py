"""Errors of the keys package, as errors that a command can end with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from keys.errors import (
    EntryExists,
    EntryMissing,
    EntryName,
    KeysError,
    KeystoreExists,
    PhraseError,
    WrongPassphrase,
)
from node.errors import ConfigError, Conflict, InvalidInput, NodeError, NotFound, Refused

__all__ = ["keys_errors", "node_error"]


def node_error(error: KeysError) -> NodeError:
    """The same words; what the keys package says after a semicolon is the remedy."""
    fault, _, remedy = str(error).partition("; ")
    message = fault[:1].upper() + fault[1:] + "."
    advice = f"{remedy[:1].upper()}{remedy[1:]}." if remedy else ""
    match error:
        case PhraseError():
            return InvalidInput(message, remedy=advice or "Type the words as they were shown.", field="mnemonic")
        case EntryName():
            return InvalidInput(message, remedy=advice)
        case EntryExists() | KeystoreExists():
            return Conflict(message, remedy=advice)
        case EntryMissing():
            return NotFound(message, remedy=advice or "`wattpact keys show` names all keys.")
        case WrongPassphrase():
            return Refused(message, remedy=advice or "Check node.passphrase_file, or type the passphrase again.")
        case _:
            return ConfigError(message, remedy=advice)


@contextmanager
def keys_errors() -> Iterator[None]:
    """Raises NodeError for every KeysError inside."""
    try:
        yield
    except KeysError as error:
        raise node_error(error) from error
