"""The version of this program. A test compares it with pyproject.toml; the node also runs where it is not installed."""

from __future__ import annotations

from typing import Final

__all__ = ["VERSION"]

VERSION: Final = "0.1.0"
