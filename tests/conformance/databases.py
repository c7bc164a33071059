"""A real PostgreSQL server for tests: started once per process on a Unix socket, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["postgres_server"]

_NO = subprocess.DEVNULL


def _program(name: str) -> str:
    found = shutil.which(name) or next((str(p) for p in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    if found is None:
        pytest.fail(f"{name} is not installed; install it with: apt-get install -y postgresql")
    return found


def _user() -> str | None:
    """PostgreSQL refuses to run as root; anybody else will do."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def postgres_server() -> Iterator[str]:
    """Yields a URL prefix for asyncpg; append the query part as it is."""
    initdb, server = _program("initdb"), _program("postgres")
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        subprocess.run(
            [initdb, "-D", str(data), "-A", "trust", "-U", "wattpact", "-N"],
            check=True,
            user=user,
            stdout=_NO,
            stderr=_NO,
        )
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"]
        running = subprocess.Popen(
            [server, "-D", str(data), *options], user=user, cwd=str(folder), stdout=_NO, stderr=_NO
        )
        try:
            _wait(data / "postmaster.pid", running)
            yield f"postgresql+asyncpg://wattpact@/postgres?host={folder}"
        finally:
            running.terminate()
            running.wait(120)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ready(status: Path) -> bool:
    """Its socket is there before the server takes anybody; the eighth line of this file says when it does."""
    try:
        lines = status.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"


def _wait(status: Path, running: subprocess.Popen[bytes]) -> None:
    for _ in range(1_800):
        if running.poll() is not None:
            pytest.fail("postgres did not start")
        if _ready(status):
            return
        try:
            running.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    pytest.fail("postgres was not ready in time")
