"""The config file that `init` writes: the sample, with the chosen settings in the places of their defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel

from node.config import Listen, load_settings, sample
from node.errors import ConfigError, UsageError
from node.types import ADDRESS_BYTES, address_to_text

__all__ = ["NO_REGISTRY", "config_text"]

NO_REGISTRY: Final = bytes(ADDRESS_BYTES)
"""Stands in the file until somebody names the registry; `doctor` says so and `run` finds no contract there."""

_REGISTRY: Final = "chain.registry"
_SECTION: Final = re.compile(r"\[(\w+)\]")
_SETTING: Final = re.compile(r"(?:# )?(\w+) = ")


def config_text(chosen: Mapping[str, object]) -> str:
    """The file's text. `chosen` are dotted keys. Raises InvalidConfig, ConfigError or UsageError before anything is
    written."""
    if "node.data_dir" in chosen:
        raise UsageError("The data folder is the one that the file lies in.", remedy="Name it with --data-dir.")
    loaded = load_settings(None, environ={}, flags={_REGISTRY: address_to_text(NO_REGISTRY), **chosen})
    lines: dict[tuple[str, str], str] = {}
    for dotted in chosen:
        section, _, key = dotted.partition(".")
        value = getattr(getattr(loaded.settings, section), key)
        if value is not None:
            _refuse_password(dotted, value)
            lines[section, key] = f"{key} = {_toml(value)}"
    return _fill(sample(), lines)


def _fill(text: str, lines: dict[tuple[str, str], str]) -> str:
    filled, section = [], ""
    for line in text.splitlines():
        heading, setting = _SECTION.fullmatch(line), _SETTING.match(line)
        if heading:
            section = heading[1]
        filled.append(lines.pop((section, setting[1]), line) if setting else line)
    if lines:
        raise ConfigError(f"The config file has no place for {', '.join('.'.join(key) for key in sorted(lines))}.")
    return "\n".join(filled) + "\n"


def _refuse_password(dotted: str, value: object) -> None:
    """The loader takes passwords in URLs from flags, but never from the file that this would write."""
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str) and "://" in text and urlsplit(text).password:
            raise ConfigError(
                f"{dotted} holds a password, which must not stand in the config file.",
                remedy=f"Set WATTPACT_{dotted.replace('.', '_').upper()} in the environment of the node instead.",
                field=dotted,
            )


def _toml(value: object) -> str:
    """A TOML value, for every kind that settings have."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case bytes():
            return json.dumps(address_to_text(value))
        case BaseModel():
            pairs = (f"{key} = {_toml(item)}" for key, item in value if item is not None)
            return "{" + ", ".join(pairs) + "}"
        case Listen() | Path() | str():
            return json.dumps(str(value), ensure_ascii=False)
        case tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case _:
            raise ConfigError(f"A {type(value).__name__} cannot stand in the config file.")
