"""A file of JSON objects, one a line, appended before what they tell of is sent: whatever was sent is known after a
crash."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from node.errors import ConfigError

__all__ = ["RowFile"]


class RowFile:
    """None for a path: nothing is kept."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def rows(self) -> Iterator[dict[str, Any]]:
        """What was appended so far, the oldest first. Raises ConfigError for a file of something else."""
        if self._path is None or not self._path.exists():
            return
        lines = self._path.read_bytes().split(b"\n")
        # A crash in the midst of a line leaves one without its end: what it tells of was never sent.
        for line in lines[:-1]:
            try:
                found = json.loads(line)
            except ValueError as error:
                raise self.strange() from error
            if not isinstance(found, dict):
                raise self.strange()
            yield found
        if lines[-1]:
            with self._path.open("r+b") as file:
                file.truncate(sum(len(line) + 1 for line in lines[:-1]))

    def strange(self) -> ConfigError:
        """What is raised for a row that nobody here wrote."""
        return ConfigError(f"{self._path} is no file of orders.", remedy="Name another file.")

    def append(self, *rows: Mapping[str, Any]) -> None:
        """On disk when it returns."""
        if self._path is None or not rows:
            return
        with self._path.open("ab") as file:
            file.write(b"".join(json.dumps({"version": 1, **row}).encode() + b"\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())
