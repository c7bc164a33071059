"""Files for a Mosquitto broker with the same users, rights and limits as the one inside the node.

Debian's Mosquitto 2.0 takes packets of 256 MB by default, and any number of connections; every limit is therefore
written out. Users whose hash is not Mosquitto's own kind cannot be written (passwords.py).

`use_username_as_clientid` gives every user one client id, its own name: otherwise any user could connect under the
client id of another, end that connection and inherit what waits for it. A user therefore has one connection at a time,
which is what a Wattpact node opens.

After a change write the files again and send SIGHUP: Mosquitto 2.0 then ends the connections of users that are gone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from node.runtime.broker.errors import BrokerSettingsError
from node.runtime.broker.passwords import MOSQUITTO_PREFIX
from node.runtime.broker.settings import BrokerLimits, BrokerUser

__all__ = ["MosquittoFiles", "mosquitto_files"]


@dataclass(frozen=True, slots=True)
class MosquittoFiles:
    """The text of the three files."""

    config: str
    passwords: str
    acl: str

    def write(self, folder: Path, *, gid: int | None = None) -> Path:
        """Write them into `folder` for their owner (and the group `gid`) only; returns the config's path.

        Each is replaced as a whole, so a broker that reads it meanwhile sees the old or the new one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        texts = {"passwords": self.passwords, "acl": self.acl, "mosquitto.conf": self.config}
        for name, text in texts.items():
            path, draft = folder / name, folder / f".{name}.new"
            draft.unlink(missing_ok=True)
            mode = 0o600 if gid is None else 0o640
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                if gid is not None:
                    os.fchown(file.fileno(), -1, gid)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        return folder / "mosquitto.conf"


def mosquitto_files(
    users: tuple[BrokerUser, ...],
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 1883,
    limits: BrokerLimits = BrokerLimits(),  # noqa: B008 - frozen
    tls: tuple[Path, Path] | None = None,
    client_authority: Path | None = None,
) -> MosquittoFiles:
    """The files for these users. `folder` is where they and the broker's own data will be; `tls` is (chain, key).

    With `client_authority` every client shows a certificate of it beside its password, never instead of it.
    """
    for user in users:
        if not user.password_hash.startswith(MOSQUITTO_PREFIX):
            raise BrokerSettingsError(f"the hash of {user.name} is not of Mosquitto's kind; set the password anew")
    if client_authority is not None and tls is None:
        raise BrokerSettingsError("client certificates need TLS")
    named = (folder, host, *(tls or ()), client_authority or folder)
    for text in map(str, named):
        if not text or not text.isprintable() or " " in text:
            raise BrokerSettingsError("a path or address for Mosquitto has no spaces and no control characters")
    lines = [
        "# Written by wattpact; changes here are overwritten.",
        f"listener {port} {host}",
        f"max_connections {limits.connections}",
        "allow_anonymous false",
        "use_username_as_clientid true",
        f"password_file {folder}/passwords",
        f"acl_file {folder}/acl",
        f"max_packet_size {limits.packet_bytes}",
        f"message_size_limit {limits.packet_bytes}",
        f"max_inflight_messages {limits.inflight}",
        f"max_queued_messages {limits.queued_messages}",
        f"max_queued_bytes {limits.packet_bytes * 32}",
        f"max_keepalive {int(limits.idle_seconds)}",
        f"persistent_client_expiration {max(1, limits.session_seconds // 3600)}h",
        "allow_duplicate_messages false",
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_interval 60",
        "log_type error",
        "log_type warning",
        "log_type notice",
    ]
    if tls is not None:
        lines += [f"certfile {tls[0]}", f"keyfile {tls[1]}", "tls_version tlsv1.2"]
    if client_authority is not None:
        lines += [f"cafile {client_authority}", "require_certificate true", "use_identity_as_username false"]
    passwords = [f"{user.name}:{user.password_hash}" for user in users]
    return MosquittoFiles(_text(lines), _text(passwords), _text(_acl(users)))


def _acl(users: tuple[BrokerUser, ...]) -> list[str]:
    # Without a line nothing is permitted. "readwrite" is never written: the two directions are separate rights.
    lines = []
    for user in users:
        lines.append(f"user {user.name}")
        lines += [f"topic write {pattern}" for pattern in user.publish]
        lines += [f"topic read {pattern}" for pattern in user.subscribe]
        lines.append("")
    return lines


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
