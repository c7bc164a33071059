"""A wrong wall clock for one process, from outside: libfaketime, changed while the process runs.

The monotonic clock stays right, as it does on a machine whose clock somebody sets.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

__all__ = ["WrongClock", "faketime_library"]

_INSTALL = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", "faketime")
_PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")


def faketime_library() -> Path:
    """The library, installed through apt where that may be done. AssertionError naming the command otherwise."""
    found = _find()
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True, env=environment)
        subprocess.run(_INSTALL, check=False, capture_output=True, env=environment)
        found = _find()
    assert found is not None, f"the tests need libfaketime; install it: {' '.join(_INSTALL)}"
    return found


def _find() -> Path | None:
    for place in _PLACES:
        for found in sorted(Path(place).glob("**/faketime/libfaketimeMT.so.1")):
            return found
    return None


class WrongClock:
    """`environment` for the process; `set` moves its clock by so many seconds, 0 is right; `stop` lets it stand."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(faketime_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
            "FAKETIME_FMT": "%s",
        }

    def set(self, seconds: int) -> None:
        self._write(f"{seconds:+d}")

    def stop(self) -> int:
        """It stands from now on, at the returned second."""
        now = int(time.time())
        self._write(str(now))
        return now

    def _write(self, text: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(text + "\n")
        new.replace(self._file)
