"""`wattpact gateway reset`: a gateway forgets its household and becomes a new device.

Without the header of the keystore none of its entries opens, so it goes first; then the entries: the recovery phrase
that most keys follow from, the masters of the streams, keys of single readers. The databases follow: they are sealed
under those keys, but names and addresses stand in them in clear. A marker is put down before anything is touched
and taken away when the new identity is in its place; while it is there no other command opens the folder, and the same
command, given again, begins anew. So a crash at any point leaves a folder that is the old gateway whole, or that
nothing but a further reset can use.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from sqlalchemy import MetaData
from sqlalchemy.engine import make_url

from channels.errors import FolderLocked
from channels.guard import FolderLock
from channels.stores.schema import METADATA as CHANNEL_TABLES
from keys.errors import EntryExists, KeysError
from keys.files import create_file, shred_file
from keys.identity import Identity
from keys.phrase import generate_mnemonic
from node.app.commands.faults import keys_errors
from node.app.commands.formercard import mailbox_of, not_at_broker, take_card_off
from node.app.commands.initialize import put_identity
from node.app.datadir import DataDir, open_identity
from node.cli.factories import ResetOptions, ResetResult
from node.config import ACCESS_NAME, LoadedConfig, Settings, keystore_passphrase
from node.errors import Busy, ConfigError, Conflict, NodeUnreachable, NotFound, Refused
from node.storage.drop import drop_tables
from node.storage.errors import DatabaseUnusable
from node.storage.schema import METADATA as NODE_TABLES
from node.types import address_to_text

__all__ = ["reset_gateway"]

_FIRST: Final = ("keystore.json", "mnemonic.key")
_OURS: Final = (
    "wattpact.db*", "channels.db*", "replica.db*", "high-water/*", "trees/*", "locks/*", f"{ACCESS_NAME}*",
    f".{ACCESS_NAME}*", "broker/state.db*", "broker/relay.db*", ".init-*/keystore/*",
)  # fmt: skip
"""What a node makes in its data folder beside the keystore. Databases that a rebuild put aside end in a time."""

_STAYS: Final = (
    "on chain: the old device's pairing, until its owner runs `wattpact unpair`; grants and commits of its streams",
    "elsewhere: copies of this folder and the old recovery phrase on paper; whoever has one has the old keys",
    "with readers: what they were allowed to read",
    "at the old accounts: money that was not withdrawn; without the old recovery phrase nobody gets it",
)


def reset_gateway(config: LoadedConfig, options: ResetOptions) -> ResetResult:
    """Raises Refused where the node is more than a gateway, NotFound without a gateway, Busy while it runs,
    NodeUnreachable for a database that cannot be emptied: then the keys are gone, and the command is to be repeated."""
    settings = config.settings
    if settings.node.roles != ("gateway",):
        raise Refused(
            f"This node is {' and '.join(settings.node.roles)}; its keys are not a gateway's alone.",
            remedy="Reset only a node whose node.roles is gateway. A home ends a pairing with `wattpact unpair`.",
        )
    folder = DataDir.of(settings)
    if not (folder.keystore.exists() or folder.reset_marker.exists()):
        raise NotFound(f"There is no gateway in {folder.root}.", remedy="Name its folder with --data-dir.")
    try:
        with keys_errors(), FolderLock(folder.root):
            return _reset(settings, folder, options)
    except FolderLocked as taken:
        raise Busy(f"{taken}.", remedy="Stop the gateway first, then reset it.") from taken
    except OSError as error:
        raise ConfigError(
            f"{error.filename or folder.root} cannot be erased ({error.strerror}).",
            remedy="Make it writable for this user, then run `wattpact gateway reset` again.",
        ) from error


def _reset(settings: Settings, folder: DataDir, options: ResetOptions) -> ResetResult:
    if options.mnemonic_file is not None and options.mnemonic_file.exists() and not folder.reset_marker.exists():
        raise Conflict(f"{options.mnemonic_file} exists.", remedy="Name a new file.")
    former = _former(settings, folder)
    mailbox = _mark(folder, options.mnemonic_file, former.get("mailbox"))
    erased = tuple(_erase(settings, folder))
    for url, tables in _servers(settings):
        try:
            asyncio.run(drop_tables(url, (tables,)))
        except DatabaseUnusable as error:
            raise NodeUnreachable(
                f"{error.message} The keys are destroyed already.",
                remedy="Start the database, then run `wattpact gateway reset` again.",
            ) from error
    words = generate_mnemonic()
    addresses = put_identity(folder.root, words, options.passphrase)
    if options.mnemonic_file is not None:
        create_file(options.mnemonic_file, words.encode() + b"\n")
    identity = Identity.from_mnemonic(words)
    off = mailbox is not None and asyncio.run(take_card_off(settings, mailbox, identity))
    folder.reset_marker.unlink()
    _flush(folder.root)
    shown = SecretStr(words) if options.mnemonic_file is None else None
    accounts = {**addresses, "mailbox": mailbox_of(identity)}
    stays = (*_STAYS, *not_at_broker(mailbox, off))
    return ResetResult(former, accounts, erased, tuple(_left(settings, folder)), stays, shown)


def _former(settings: Settings, folder: DataDir) -> dict[str, str]:
    """The accounts that end, for people to look after; none where their keystore does not open any more."""
    passphrase = keystore_passphrase(settings)
    if passphrase is None or folder.reset_marker.exists():
        return {}
    try:
        keystore, identity = open_identity(folder, passphrase)
    except (ConfigError, KeysError):
        return {}  # a reset is also for whoever lost the passphrase
    keystore.close()
    return _accounts(identity)


def _accounts(identity: Identity) -> dict[str, str]:
    return {
        "device": address_to_text(identity.device().address),
        "sender": address_to_text(identity.sender().address),
        "mailbox": mailbox_of(identity),
    }


def _mark(folder: DataDir, words: Path | None, mailbox: str | None) -> str | None:
    """The marker names the file that the new words go to: it was not there when the reset began, so that what an
    earlier run left in it is of an identity that never was. It also names the former mailbox, which nobody can work
    out any more once the keys are gone; that is returned."""
    noted = {"version": 1, "mnemonic_file": None if words is None else str(words.absolute()), "mailbox": mailbox}
    text = json.dumps(noted)
    try:
        create_file(folder.reset_marker, text.encode() + b"\n")
    except EntryExists:
        left = json.loads(folder.reset_marker.read_bytes())
        if words is not None and words.exists():
            if left["mnemonic_file"] != str(words.absolute()):
                raise Conflict(f"{words} exists.", remedy="Name a new file.") from None
            shred_file(words)
        found: str | None = left.get("mailbox")
        return found
    return mailbox


def _erase(settings: Settings, folder: DataDir) -> Iterator[str]:
    """Overwrites and removes, the keystore first; gives the names of what went."""
    entries = sorted(folder.keystore.glob("*"), key=lambda path: (path.name not in _FIRST, path.suffix, path.name))
    files = [path for pattern in _OURS for path in sorted(folder.root.glob(pattern))]
    files += [path for path in _databases(settings, folder) if path not in files]
    for path in dict.fromkeys((*entries, *files)):
        if path.is_dir():
            continue
        # A database may be a link to another disk; the keystore never is one.
        real = path.resolve() if path.is_symlink() and path not in entries else path
        if real.exists():
            shred_file(real)
        path.unlink(missing_ok=True)
        yield str(path.relative_to(folder.root)) if path.is_relative_to(folder.root) else str(path)
    staged = sorted(folder.root.glob(".init-*"))
    for empty in (
        folder.keystore,
        folder.high_water,
        folder.trees,
        folder.locks,
        *(each / "keystore" for each in staged),
        *staged,
    ):
        if empty.is_dir():
            empty.rmdir()
    _flush(folder.root)


def _databases(settings: Settings, folder: DataDir) -> Iterator[Path]:
    """Every file of every SQLite database that the settings name, wherever it lies."""
    for text in (settings.database_url, folder.channels_url, *settings.replica_urls):
        url = make_url(text)
        if url.get_backend_name() == "sqlite" and url.database:
            paths = [Path(f"{url.database}{ending}") for ending in ("", "-wal", "-shm", "-journal")]
            yield from (path for path in paths if path.exists())


def _servers(settings: Settings) -> Sequence[tuple[str, MetaData]]:
    """Databases that are on no file of ours, and what is ours in them: a replica has a channel store's tables only,
    and may stand beside the journal of another node."""
    ours = [(settings.database_url, NODE_TABLES), *((url, CHANNEL_TABLES) for url in settings.replica_urls)]
    return [(url, tables) for url, tables in ours if make_url(url).get_backend_name() != "sqlite"]


def _left(settings: Settings, folder: DataDir) -> Iterator[str]:
    """Other files in the folder: config, certificates, and what somebody put there."""
    for path in sorted(folder.root.rglob("*")):
        if path.is_file() and not path.is_relative_to(folder.keystore) and path.name != "lock":
            yield str(path.relative_to(folder.root))


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
