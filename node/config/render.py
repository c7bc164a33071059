"""Settings as text: sample file, reference, JSON schema, and what is in force and why. No secret leaves here."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from node.config.load import LoadedConfig
from node.config.settings import Settings

__all__ = ["effective", "json_schema", "reference", "sample"]

_PLACEHOLDERS: Final = {"chain.registry": '"0x0000000000000000000000000000000000000000"'}
_HIDDEN: Final = "(set, not shown)"


def _fields() -> Iterator[tuple[str, type[BaseModel], dict[str, FieldInfo]]]:
    for name, section in Settings.model_fields.items():
        model = section.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield name, model, model.model_fields


def _is_secret(field: FieldInfo) -> bool:
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("secret"))


def _toml(value: object) -> str:
    """A TOML value; only kinds that settings have."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)


def sample() -> str:
    """A complete config file: every setting with its default, commented out unless it must be set."""
    lines = [
        "# Wattpact node. Every setting is here; what is commented out shows its default.",
        "# Environment variables such as WATTPACT_API_LISTEN go before this file, flags before both.",
        "# Paths are relative to this file. Secrets do not belong here: name files, or use the environment.",
    ]
    for name, model, fields in _fields():
        lines += [
            "",
            *textwrap.wrap(_first(model.__doc__), 116, initial_indent="# ", subsequent_indent="# "),
            f"[{name}]",
        ]
        for key, field in fields.items():
            if _is_secret(field):
                continue
            lines += textwrap.wrap(field.description or "", 116, initial_indent="# ", subsequent_indent="# ")
            lines.append(_sample_line(name, key, field))
        if name == "broker":
            lines += ["# [[broker.users]]", '# name = "provider-1"', '# password_hash_file = "provider-1.hash"']
            lines += ['# rules = ["read wattpact/v1/+/data", "write wattpact/v1/+/ask"]']
        if name == "statements":
            lines += ["# # [[statements.tariffs]]", '# # since = "2026-01-01T00:00:00Z"', "# # shortfall = 300000"]
            lines += ["# # [[statements.tariffs.fees]]", '# # area = "10YNL----------L"', "# # per_kwh = 50000"]
    return "\n".join(lines) + "\n"


def _sample_line(section: str, key: str, field: FieldInfo) -> str:
    placeholder = _PLACEHOLDERS.get(f"{section}.{key}")
    if field.default is PydanticUndefined:
        return f"{key} = {placeholder}"
    if field.default is None:
        return f'# {key} = ""'
    return f"# {key} = {_toml(field.default)}"


def reference() -> str:
    """The table of all settings, in Markdown."""
    lines: list[str] = []
    for name, model, fields in _fields():
        lines += [f"## [{name}]", "", _first(model.__doc__), "", "| key | default | meaning |", "|---|---|---|"]
        for key, field in fields.items():
            meaning = (field.description or "").replace("|", "\\|")
            lines.append(f"| `{key}` | {_default(field)} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "must be set"
    if _is_secret(field):
        return "environment only"
    return "" if field.default is None else f"`{_toml(field.default)}`"


def json_schema() -> dict[str, Any]:
    """JSON schema (2020-12) of the config file, for editors."""
    schema = Settings.model_json_schema()
    for definition in schema.get("$defs", {}).values():
        secret = [key for key, value in definition.get("properties", {}).items() if value.get("secret")]
        for key in secret:
            del definition["properties"][key]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Wattpact config file", **schema}


def effective(config: LoadedConfig) -> list[dict[str, Any]]:
    """Each setting as {key, value, origin}; secrets, and URLs' user information and paths, are not shown."""
    rows = []
    for name, _, fields in _fields():
        section = getattr(config.settings, name)
        for key in fields:
            dotted = f"{name}.{key}"
            rows.append({"key": dotted, "value": _plain(getattr(section, key)), "origin": str(config.origin(dotted))})
    return rows


def _plain(value: object) -> Any:
    if isinstance(value, SecretStr):
        return _HIDDEN
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, BaseModel):
        return {key: _plain(item) for key, item in value}
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return [_plain(item) for item in value]
    if isinstance(value, str) and "://" in value:
        return _without_secrets(value)
    return str(value) if isinstance(value, Path | tuple) else value


def _without_secrets(url: str) -> str:
    """Hosted RPC nodes put the key of the account into the path or the query, databases put passwords before the @."""
    scheme, _, rest = url.partition("://")
    if scheme.startswith("sqlite"):
        return url
    authority, _, path = rest.partition("/")
    host = authority.rpartition("@")[2].split("?")[0]
    hidden = "…@" if "@" in authority else ""
    return f"{scheme}://{hidden}{host}{'/…' if path or '?' in authority else ''}"


def _first(doc: str | None) -> str:
    return " ".join((doc or "").split())
