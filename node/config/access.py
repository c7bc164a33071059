"""How commands on this machine find and enter the running node: one file in the data folder, for its owner only.

The node writes it at start, with an admin token that lives as long as the process; whoever can read the file could read
the database beside it as well, so it grants nothing new.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.errors import NodeUnreachable, Refused

__all__ = ["ACCESS_NAME", "LocalAccess", "read_access", "remove_access", "write_access"]

ACCESS_NAME: Final = "api.json"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class LocalAccess:
    """Base URL, bearer token, and the certificate to trust if the node speaks TLS."""

    url: str
    token: str
    certificate: Path | None = None

    def __repr__(self) -> str:
        return f"LocalAccess(url={self.url!r}, token=(not shown))"


def write_access(data_dir: Path, access: LocalAccess) -> Path:
    """Replaces the file in one step, readable by its owner only from the first byte on."""
    path = data_dir / ACCESS_NAME
    new = path.with_name(f".{ACCESS_NAME}.{os.getpid()}")
    new.unlink(missing_ok=True)
    document = {
        "version": _VERSION,
        "url": access.url,
        "token": access.token,
        "certificate": str(access.certificate) if access.certificate else None,
        "pid": os.getpid(),
    }
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return path


def read_access(data_dir: Path) -> LocalAccess:
    """Raises NodeUnreachable if no node runs here, Refused if the file is open to others or foreign."""
    path = data_dir / ACCESS_NAME
    try:
        status = path.stat()
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NodeUnreachable(f"No node is running with the data folder {data_dir}.") from None
    except PermissionError:
        raise Refused(
            f"{path} belongs to another user.", remedy="Run this command as the user that runs the node."
        ) from None
    if status.st_mode & 0o077:
        raise Refused(f"{path} can be read by other users.", remedy=f"Run chmod 600 {path}, then restart the node.")
    try:
        document = json.loads(text)
        if document["version"] != _VERSION:
            raise Refused(f"{path} was written by another version.", remedy="Use the command of the running version.")
        certificate = document["certificate"]
        return LocalAccess(document["url"], document["token"], Path(certificate) if certificate else None)
    except (ValueError, KeyError, TypeError):
        raise NodeUnreachable(f"{path} is damaged.", remedy="Restart the node; it writes the file anew.") from None


def remove_access(data_dir: Path) -> None:
    """Takes the file away at a clean stop, so that commands say at once that nothing runs."""
    (data_dir / ACCESS_NAME).unlink(missing_ok=True)
