"""Errors of the package, one root.

    KeysError
    ├── MessageError            caller's fault: a message, domain or typed-data document that is not one of ours
    ├── SignatureError          foreign: a signature that is malformed or not by the expected signer
    ├── SealError               foreign: bytes that do not open under this key and context, or unusable keys
    ├── PhraseError             caller's fault: a mnemonic that is not one
    ├── PathError               caller's fault: a label or role that no key is derived for
    ├── SignerError             caller's fault: a signer address that cannot be opened or refuses the request
    ├── SecretLeak              caller's fault: a secret was about to be pickled or copied
    ├── KeystoreError           what keeps the keystore from being read or written
    │   ├── KeystoreMissing     recoverable: there is none (or it is not complete) at this place
    │   ├── KeystoreExists      caller's fault: create() where there is one already
    │   ├── KeystoreClosed      caller's fault: used after close()
    │   ├── WrongPassphrase     recoverable: ask again
    │   ├── UnsafePermissions   recoverable: others can read it; the message carries the command that mends it
    │   ├── UnknownVersion      fatal: written by a newer program
    │   ├── KeystoreDamaged     fatal: a file is not what was written; restore it from a backup
    │   ├── EntryExists         caller's fault: entries are written once
    │   ├── EntryMissing        caller's fault: no entry of this name
    │   └── EntryName           caller's fault: a name or kind that cannot be a file's
    └── ParcelError             foreign: a node-to-node message that is refused
        ├── ParcelTooLarge      before any cryptography is done
        ├── ParcelMalformed     not the one canonical encoding
        ├── ParcelForeign       sealed or addressed to somebody else, or for another chain
        ├── ParcelForged        not signed by the sender it names
        └── ParcelUntimely      expired, from the future, or living too long

Open and verify raise; they never return False.
"""

from __future__ import annotations

__all__ = [
    "EntryExists",
    "EntryMissing",
    "EntryName",
    "KeysError",
    "KeystoreClosed",
    "KeystoreDamaged",
    "KeystoreError",
    "KeystoreExists",
    "KeystoreMissing",
    "MessageError",
    "ParcelError",
    "ParcelForeign",
    "ParcelForged",
    "ParcelMalformed",
    "ParcelTooLarge",
    "ParcelUntimely",
    "PathError",
    "PhraseError",
    "SealError",
    "SecretLeak",
    "SignatureError",
    "SignerError",
    "UnknownVersion",
    "UnsafePermissions",
    "WrongPassphrase",
]


class KeysError(Exception):
    """Root of everything that this package raises."""


class MessageError(KeysError):
    """A message, a domain or a typed-data document is not one of ours; the text names the field."""


class SignatureError(KeysError):
    """The signature is malformed or was not made by the expected signer."""


class SealError(KeysError):
    """Sealed bytes do not open under this key and context, or a sealing key is unusable."""


class PhraseError(KeysError):
    """The words are not a BIP-39 mnemonic; the text never repeats a word."""


class PathError(KeysError):
    """No key is derived for this role or label."""


class SignerError(KeysError):
    """A signer cannot be opened by its URI, or cannot sign what it was given."""


class SecretLeak(KeysError):
    """An object that holds a secret was about to be pickled or copied."""


class KeystoreError(KeysError):
    """The keystore cannot be read or written; the text names the file and the remedy."""


class KeystoreMissing(KeystoreError):
    """There is no complete keystore in this folder."""


class KeystoreExists(KeystoreError):
    """create() found a keystore: a new one never replaces an old one."""


class KeystoreClosed(KeystoreError):
    """The keystore was closed and its master key forgotten."""


class WrongPassphrase(KeystoreError):
    """The passphrase does not open this keystore."""


class UnsafePermissions(KeystoreError):
    """Somebody other than the owner may read or change the file."""


class UnknownVersion(KeystoreError):
    """The file was written by another version of the program."""


class KeystoreDamaged(KeystoreError):
    """The file is not what was written: truncated, changed, renamed or swapped."""


class EntryExists(KeystoreError):
    """An entry of this name exists; entries are written once."""


class EntryMissing(KeystoreError):
    """There is no entry of this name."""


class EntryName(KeystoreError):
    """The name or kind of an entry is not of the allowed form."""


class ParcelError(KeysError):
    """A node-to-node message is refused."""


class ParcelTooLarge(ParcelError):
    """Larger than the cap; nothing was decrypted."""


class ParcelMalformed(ParcelError):
    """Not the one canonical encoding, or a field of the wrong form."""


class ParcelForeign(ParcelError):
    """Sealed to another key, addressed to another recipient or meant for another chain."""


class ParcelForged(ParcelError):
    """The signature is not by the sender that the parcel names."""


class ParcelUntimely(ParcelError):
    """Expired, dated in the future beyond the tolerance, or with too long a life."""
