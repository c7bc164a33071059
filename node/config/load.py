"""Merges file, environment and flags into settings, and says everything that is wrong with them at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource, SettingsError

from node.config.positions import KeyPath, Position, key_positions
from node.config.settings import Settings
from node.errors import ConfigError

__all__ = ["CONFIG_NAME", "DEFAULT_DATA_DIR", "InvalidConfig", "LoadedConfig", "Origin", "Problem", "load_settings"]

CONFIG_NAME: Final = "wattpact.toml"
DEFAULT_DATA_DIR: Final = Path("~/.wattpact")
_PREFIX: Final = "WATTPACT_"
# Read by the command line before there are settings.
_OTHER_VARIABLES: Final = frozenset({"WATTPACT_CONFIG", "WATTPACT_URL", "WATTPACT_TOKEN"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `default`, `file`, `environment` or `flag`, and the place there."""

    kind: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.place}".strip()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `place` is file:line:column, a variable or a flag; `key` the dotted setting."""

    place: str
    key: str
    message: str
    remedy: str

    def __str__(self) -> str:
        subject = f"{self.key} " if self.key else ""
        return f"{self.place}: {subject}{self.message}. {self.remedy}"


class InvalidConfig(ConfigError):
    """Carries every problem found, in the order of the sources."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"The configuration has {count}:\n{lines}", remedy="Correct the places named above.")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """Settings with absolute paths, the file they were read from, and the origin of each key that is not a default."""

    settings: Settings
    path: Path | None
    origins: Mapping[str, Origin]

    def origin(self, key: str) -> Origin:
        return self.origins.get(key, Origin("default"))


def load_settings(
    path: Path | None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> LoadedConfig:
    """File < environment < flags (dotted keys such as `api.listen`). Raises InvalidConfig with all problems."""
    loader = _Loader(path)
    loader.read_file()
    loader.read_environment(os.environ if environ is None else environ)
    loader.read_flags(flags or {})
    return loader.finish()


class _Environment(EnvSettingsSource):
    """The library's reader of nested variables, fed from a mapping instead of the process."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._given = {name.lower(): value for name, value in variables.items()}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return dict(self._given)


class _Loader:
    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.merged: dict[str, Any] = {}
        self.origins: dict[str, Origin] = {}
        self.positions: Mapping[KeyPath, Position] = {}
        self.problems: list[Problem] = []

    def complain(self, place: str, key: str, message: str, remedy: str) -> None:
        self.problems.append(Problem(place, key, message, remedy))

    def read_file(self) -> None:
        if self.path is None:
            return
        place = str(self.path)
        try:
            text = self.path.read_bytes().decode("utf-8")
            document = tomllib.loads(text)
        except FileNotFoundError:
            self.complain(place, "", "there is no such file", "Write one with `wattpact config sample`.")
        except OSError as error:
            self.complain(place, "", f"cannot be read ({error.strerror})", "Make it readable for this user.")
        except UnicodeDecodeError as error:
            self.complain(place, "", f"is not UTF-8 text (byte {error.start})", "Save it as UTF-8.")
        except tomllib.TOMLDecodeError as error:
            self.complain(_syntax_place(place, str(error), text), "", *_syntax_words(str(error)))
        else:
            self.positions = key_positions(text)
            self._take_document(document)

    def _take_document(self, document: dict[str, Any]) -> None:
        for section, content in document.items():
            if not isinstance(content, dict):
                self.merged[section] = content
                continue
            self.merged.setdefault(section, {})
            for key, value in content.items():
                where = (section, key)
                if _is_secret(section, key):
                    self.complain(
                        self.place_of(where), f"{section}.{key}", "is a secret and must not stand in this file",
                        f"Name a file with {key}_file, or set {_variable(section, key)}.",
                    )  # fmt: skip
                    continue
                for inner, text in _texts(value):
                    if _has_password(text):
                        self.complain(
                            self.place_of((*where, *inner)), f"{section}.{key}", "holds a password",
                            f"Set {_variable(section, key)} in the environment instead.",
                        )  # fmt: skip
                self._put(section, key, value, Origin("file", self.place_of(where)))

    def read_environment(self, environ: Mapping[str, str]) -> None:
        ours = {n: v for n, v in environ.items() if n.startswith(_PREFIX) and n not in _OTHER_VARIABLES}
        known = {_variable(section, key) for section, keys in _known().items() for key in keys}
        for name in sorted(set(ours) - known):
            self.complain(name, "", "is not a known variable", _nearest(name, known, "It has no effect; unset it."))
            del ours[name]
        try:
            found = _Environment(ours)()
        except SettingsError as error:
            self.complain("environment", "", str(error), "Correct the variable.")
            return
        for section, content in found.items():
            for key, value in content.items():
                self._put(section, key, value, Origin("environment", _variable(section, key)))

    def read_flags(self, flags: Mapping[str, object]) -> None:
        for dotted, value in flags.items():
            section, _, key = dotted.partition(".")
            if _is_secret(section, key):
                self.complain(
                    f"--set {dotted}", dotted, "is a secret and cannot be a flag, which other users of the machine see",
                    f"Name a file with {dotted}_file, or set {_variable(section, key)}.",
                )  # fmt: skip
            elif not key:
                self.complain(f"--set {dotted}", dotted, "names no setting", "Write it as section.key=value.")
            else:
                self._put(section, key, value, Origin("flag", dotted))

    def _put(self, section: str, key: str, value: object, origin: Origin) -> None:
        content = self.merged.setdefault(section, {})
        if isinstance(content, dict):
            content[key] = value
        self.origins[f"{section}.{key}"] = origin

    def place_of(self, path: KeyPath) -> str:
        """file:line:column of the key, or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            found = self.positions.get(path[:length])
            if found is not None:
                return f"{self.path}:{found.line}:{found.column}"
        return str(self.path) if self.path else "configuration"

    def finish(self) -> LoadedConfig:
        try:
            settings = Settings(**self.merged)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_context=False):
                self._complain_about(detail)
            settings = None
        if settings is None or self.problems:
            raise InvalidConfig(tuple(self.problems))
        return LoadedConfig(self._with_paths(settings), self.path, MappingProxyType(self.origins))

    def _complain_about(self, detail: ErrorDetails) -> None:
        path = detail["loc"]
        message = _lower(detail["msg"].removeprefix("Value error, "))
        if len(path) == 1 and detail["type"] == "value_error":
            # Settings that contradict each other: the sentence begins with the key to look at.
            path = (*path, message.split()[0])
        origin = self.origins.get(".".join(str(part) for part in path[:2]))
        place = self.place_of(path)
        if origin is not None and origin.kind == "environment":
            place = origin.place
        elif origin is not None and origin.kind == "flag":
            place = f"--set {origin.place}"
        key = ".".join(str(part) for part in path)
        if detail["type"] == "extra_forbidden":
            self.complain(place, key, "is not a known key", _nearest(str(path[-1]), _siblings(path), "Remove it."))
        elif detail["type"] == "missing":
            self.complain(place, key, "is missing", f"Add it: {_description(path)}.")
        elif len(path) > len(detail["loc"]):
            self.complain(place, str(path[0]), message, f"{key}: {_description(path)}.")
        else:
            expected = f"Expected: {_description(path)}."
            allowed = re.findall(r"'([^']+)'", message) if detail["type"] == "literal_error" else []
            self.complain(place, key, message, _nearest(str(detail["input"]), set(allowed), expected))

    def _with_paths(self, settings: Settings) -> Settings:
        """Paths in the file are relative to it, others to the working folder; `~` is the home folder."""
        changed: dict[str, object] = {}
        for section in type(settings).model_fields:
            model = getattr(settings, section)
            update = {key: self._absolute(f"{section}.{key}", value) for key, value in model}
            changed[section] = model.model_copy(update=update)
        if "node.data_dir" not in self.origins and self.path is not None:
            changed["node"] = changed["node"].model_copy(update={"data_dir": self.path.resolve().parent})  # type: ignore[attr-defined]
        return settings.model_copy(update=changed)

    def _absolute(self, key: str, value: object) -> object:
        if isinstance(value, Path):
            origin = self.origins.get(key)
            base = self.path.resolve().parent if self.path and origin and origin.kind == "file" else Path.cwd()
            return base / value.expanduser()
        if isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
            return tuple(item.model_copy(update={k: self._absolute(key, v) for k, v in item}) for item in value)
        return value


def _known() -> dict[str, frozenset[str]]:
    return {name: frozenset(_model(name).model_fields) for name in Settings.model_fields}


def _model(section: str) -> type[BaseModel]:
    annotation = Settings.model_fields[section].annotation
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        raise TypeError(f"section {section} is not a model")
    return annotation


def _is_secret(section: str, key: str) -> bool:
    if section not in Settings.model_fields or key not in _model(section).model_fields:
        return False
    extra = _model(section).model_fields[key].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("secret"))


def _siblings(path: KeyPath) -> frozenset[str]:
    if len(path) == 1:
        return frozenset(Settings.model_fields)
    section = str(path[0])
    if len(path) == 2:
        return _known().get(section, frozenset())
    for argument in get_args(_model(section).model_fields[str(path[1])].annotation):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return frozenset(argument.model_fields)
    return frozenset()


def _description(path: KeyPath) -> str:
    if not path or str(path[0]) not in Settings.model_fields:
        return "a section of the reference"
    if len(path) == 1:
        return f"a table [{path[0]}]"
    field = _model(str(path[0])).model_fields.get(str(path[1]))
    return field.description or "see the reference" if field else "see the reference"


def _variable(section: str, key: str) -> str:
    return f"{_PREFIX}{section}_{key}".upper()


def _nearest(name: str, known: frozenset[str] | set[str], otherwise: str) -> str:
    close = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else otherwise


def _texts(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))


def _has_password(text: str) -> bool:
    if "://" not in text:
        return False
    try:
        return bool(urlsplit(text).password)
    except ValueError:
        return False


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _syntax_place(place: str, message: str, text: str) -> str:
    match = re.search(r"\(at line (\d+), column (\d+)\)", message)
    if match:
        return f"{place}:{match[1]}:{match[2]}"
    return f"{place}:{text.count(chr(10)) + 1}:1"


def _syntax_words(message: str) -> tuple[str, str]:
    words = _lower(message.split(" (at ", 1)[0])
    return f"is not valid TOML: {words}", "Put text in quotes, one `key = value` per line."
