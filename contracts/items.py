"""Items of a batch: one message with its signatures, as `ConsentRegistry.batch` takes them.

`message` is the ABI encoding of the arguments that stand before the signatures in the function of the same name.
"""

from __future__ import annotations

from enum import IntEnum

from contracts.bindings.consent_registry import (
    GrantLike,
    Item,
    PairDeviceLike,
    RegisterKeyLike,
    RegisterStreamLike,
    RevokeLike,
    SetWriterLike,
    StreamCommitLike,
    TransferStreamLike,
    UnpairDeviceLike,
    abi_grant,
    abi_pair_device,
    abi_register_key,
    abi_register_stream,
    abi_revoke,
    abi_set_writer,
    abi_stream_commit,
    abi_transfer_stream,
    abi_unpair_device,
)

__all__ = [
    "Kind",
    "commit_item",
    "grant_item",
    "pair_device_item",
    "register_key_item",
    "register_stream_item",
    "revoke_item",
    "set_writer_item",
    "transfer_stream_item",
    "unpair_device_item",
]


class Kind(IntEnum):
    """What an item is; the numbers of `Constants.sol`."""

    REGISTER_STREAM = 1
    SET_WRITER = 2
    PAIR_DEVICE = 3
    UNPAIR_DEVICE = 4
    GRANT = 5
    REVOKE = 6
    REGISTER_KEY = 7
    STREAM_COMMIT = 8
    TRANSFER_STREAM = 9


def register_stream_item(m: RegisterStreamLike, owner_sig: bytes, writer_sig: bytes) -> Item:
    """Return the item of a RegisterStream."""
    return Item(Kind.REGISTER_STREAM, abi_register_stream(m), owner_sig, writer_sig)


def set_writer_item(m: SetWriterLike, owner_sig: bytes, writer_sig: bytes) -> Item:
    """Return the item of a SetWriter."""
    return Item(Kind.SET_WRITER, abi_set_writer(m), owner_sig, writer_sig)


def pair_device_item(m: PairDeviceLike, device: bytes, salt: bytes, owner_sig: bytes, device_sig: bytes) -> Item:
    """Return the item of a PairDevice; device (20 bytes) and salt (32 bytes) open its device hash."""
    return Item(Kind.PAIR_DEVICE, abi_pair_device(m) + device.rjust(32, b"\0") + salt, owner_sig, device_sig)


def unpair_device_item(m: UnpairDeviceLike, sig: bytes) -> Item:
    """Return the item of an UnpairDevice."""
    return Item(Kind.UNPAIR_DEVICE, abi_unpair_device(m), sig, b"")


def grant_item(m: GrantLike, sig: bytes) -> Item:
    """Return the item of a Grant."""
    return Item(Kind.GRANT, abi_grant(m), sig, b"")


def revoke_item(m: RevokeLike, sig: bytes) -> Item:
    """Return the item of a Revoke."""
    return Item(Kind.REVOKE, abi_revoke(m), sig, b"")


def register_key_item(m: RegisterKeyLike, sid: bytes, sig: bytes) -> Item:
    """Return the item of a RegisterKey; `sid` is any stream for which the grant stands."""
    return Item(Kind.REGISTER_KEY, abi_register_key(m) + sid, sig, b"")


def commit_item(m: StreamCommitLike, sig: bytes) -> Item:
    """Return the item of a StreamCommit."""
    return Item(Kind.STREAM_COMMIT, abi_stream_commit(m), sig, b"")


def transfer_stream_item(m: TransferStreamLike, owner_sig: bytes, new_owner_sig: bytes) -> Item:
    """Return the item of a TransferStream."""
    return Item(Kind.TRANSFER_STREAM, abi_transfer_stream(m), owner_sig, new_owner_sig)
