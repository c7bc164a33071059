"""What lies on this machine: the data folder, the keystore, the disk, the meter's device."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Final

from keys.errors import KeysError
from keys.identity import Identity
from node.api.callers import unnamed_proxy
from node.app.commands.checks.report import broken, failed, noted, well
from node.app.commands.faults import node_error
from node.app.datadir import DataDir, open_identity
from node.cli.factories import Finding
from node.config import Settings, keystore_passphrase
from node.errors import ConfigError
from node.types import address_to_text

__all__ = ["check_disk", "check_folder", "check_keystore", "check_meter", "check_proxy"]

_LITTLE_SPACE: Final = 512 * 1024 * 1024
_PRIVATE: Final = ("wattpact.db", "channels.db", "api.json")
_OTHERS: Final = 0o077


def check_folder(settings: Settings) -> Finding:
    """Only the owner may enter, and files that a careless copy opened to others are named."""
    root, name = settings.node.data_dir, "data folder"
    try:
        status = root.stat()
    except OSError as error:
        return broken(name, f"{root}: {error.strerror}", "Make it with `wattpact init`, or name it with --data-dir.")
    if not stat.S_ISDIR(status.st_mode):
        return broken(name, f"{root} is not a folder", "Name another one with --data-dir.")
    if status.st_mode & _OTHERS:
        return broken(name, f"other users can look into {root} (mode {status.st_mode & 0o777:o})", f"chmod 700 {root}")
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        return broken(name, f"this user cannot write in {root}", "Run as the user that the folder belongs to.")
    open_files = [path for path in (root / file for file in _PRIVATE) if _mode(path) & 0o022]
    if open_files:
        names = " ".join(str(path) for path in open_files)
        return broken(name, f"other users can change {names}", f"chmod go= {names}")
    return well(name, f"{root}, for its owner only")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def check_disk(settings: Settings) -> Finding:
    try:
        free = shutil.disk_usage(settings.node.data_dir).free
    except OSError as error:
        return broken("disk", f"{settings.node.data_dir}: {error.strerror}", "Make the data folder first.")
    amount = f"{free // (1024 * 1024)} MB free"
    if free < _LITTLE_SPACE:
        return broken("disk", amount, "Make room: a node that cannot write stops reading the meter.")
    return well("disk", amount)


def check_keystore(settings: Settings) -> tuple[Finding, Identity | None]:
    """Opens it with the passphrase that the node itself would take, as nobody types one into a service."""
    name = "keystore"
    try:
        passphrase = keystore_passphrase(settings)
        if passphrase is None:
            remedy = "Write it into a file that only this user can read, and name that in [node] passphrase_file."
            return broken(name, "the node would find no passphrase", remedy), None
        keystore, identity = open_identity(DataDir.of(settings), passphrase)
    except ConfigError as error:
        return failed(name, error), None
    except KeysError as error:
        return failed(name, node_error(error)), None
    count = len(keystore.names())
    keystore.close()
    return well(name, f"opens; {count} entries; wallet {address_to_text(identity.wallet().address)}"), identity


def check_meter(settings: Settings) -> list[Finding]:
    """Only a gateway reads one. The device is looked at and not opened: the running node may be reading it."""
    meter, name = settings.meter, "meter"
    if "gateway" not in settings.node.roles:
        return []
    if meter.kind == "none" or meter.device is None:
        return [broken(name, "this gateway reads no meter", "Set [meter] kind and device.")]
    try:
        status = meter.device.stat()
    except OSError as error:
        remedy = "Plug the cable in and look with `ls /dev/tty*`; /dev/serial/by-id/... stays the same over restarts."
        return [broken(name, f"{meter.device}: {error.strerror}", remedy)]
    if meter.kind == "serial" and not stat.S_ISCHR(status.st_mode):
        return [broken(name, f"{meter.device} is not a device", 'Name the serial device, or set kind = "file".')]
    if meter.kind == "file" and not stat.S_ISREG(status.st_mode):
        return [broken(name, f"{meter.device} is not a file", "Name a file with recorded telegrams.")]
    if not os.access(meter.device, os.R_OK):
        group = f"group {status.st_gid}"
        remedy = f"Add this user to the device's {group}, `dialout` as a rule, and log in again."
        return [broken(name, f"this user cannot read {meter.device}", remedy)]
    return [well(name, f"{meter.device} is there and readable")]


def check_proxy(settings: Settings) -> list[Finding]:
    """Pairing is for the gateway's own network: a proxy that is not named makes everybody look as near as itself."""
    why, name = unnamed_proxy(settings.api), "proxy"
    if "gateway" not in settings.node.roles or not why:
        return []
    remedy = "A proxy before it: name it there and have it send X-Forwarded-For, or pass on nothing of /pairing/."
    return [noted(name, why, remedy)]
