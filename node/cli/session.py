"""What all commands share: which node is meant, its settings, the way in, and how errors end a command."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from pydantic import SecretStr

from node.cli.client import ApiClient, RemoteProblem
from node.cli.output import plain
from node.config import (
    CONFIG_NAME,
    DEFAULT_DATA_DIR,
    LoadedConfig,
    LocalAccess,
    keystore_passphrase,
    load_settings,
    read_access,
)
from node.errors import ExitCode, NodeError, NotFound, UsageError

__all__ = [
    "JsonFlag",
    "Session",
    "YesFlag",
    "confirm",
    "confirm_by_word",
    "guarded",
    "pick",
    "read_passphrase",
    "session_of",
]

P = ParamSpec("P")
R = TypeVar("R")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON: one object, or one per line.")]
YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class Session:
    """The options before the command."""

    config: Path | None = None
    data_dir: Path | None = None
    flags: Mapping[str, object] = field(default_factory=dict)

    def config_path(self) -> Path | None:
        """--config, WATTPACT_CONFIG, or wattpact.toml in the data folder if there is one."""
        named = self.config or (Path(os.environ["WATTPACT_CONFIG"]) if os.environ.get("WATTPACT_CONFIG") else None)
        if named is not None:
            return named.expanduser()
        usual = self.guessed_data_dir() / CONFIG_NAME
        return usual if usual.exists() else None

    def guessed_data_dir(self) -> Path:
        """The data folder as far as it is known without a config file."""
        named = os.environ.get("WATTPACT_NODE_DATA_DIR")
        return (self.data_dir or (Path(named) if named else DEFAULT_DATA_DIR)).expanduser().absolute()

    def load(self) -> LoadedConfig:
        """Raises InvalidConfig."""
        flags = dict(self.flags)
        if self.data_dir is not None:
            flags["node.data_dir"] = str(self.data_dir)
        return load_settings(self.config_path(), flags=flags)

    def client(self) -> ApiClient:
        """The running node: WATTPACT_URL and WATTPACT_TOKEN, or the access file in the data folder."""
        url, token = os.environ.get("WATTPACT_URL"), os.environ.get("WATTPACT_TOKEN")
        if url and token:
            return ApiClient(LocalAccess(url, token))
        folder = self.guessed_data_dir()
        if self.data_dir is None and self.config_path() is not None:
            folder = self.load().settings.node.data_dir
        return ApiClient(read_access(folder))


def session_of(context: typer.Context) -> Session:
    found = context.find_object(Session)
    return found if found is not None else Session()


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Ends a command that raised one of our errors with one sentence, the remedy and the right exit code."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except NodeError as error:
            code = error.remote_exit if isinstance(error, RemoteProblem) else error.exit_code
            lines = [plain(line) for line in error.message.splitlines()]
            if isinstance(error, RemoteProblem) and error.field:
                lines[-1] += f" ({plain(error.field)})"
            typer.echo("\n".join(lines), err=True)
            if error.remedy:
                typer.echo(plain(error.remedy), err=True)
            raise typer.Exit(int(code)) from None
        except BrokenPipeError:
            # The reader of our output, `head` for example, has seen enough.
            sys.stderr.close()
            raise typer.Exit(int(ExitCode.FAILED)) from None

    return wrapper


def pick(
    items: Sequence[Mapping[str, Any]], key: str, text: str, what: str, listing: str | None = None
) -> Mapping[str, Any]:
    """The item whose id or name is `text`, or whose id begins with it (six characters). Raises NotFound, naming the
    command that lists them."""
    wanted = text.strip()
    for item in items:
        if wanted in (item.get(key), item.get("name")):
            return item
    found = [item for item in items if len(wanted) >= 6 and str(item.get(key, "")).lower().startswith(wanted.lower())]
    if len(found) > 1:
        raise UsageError(f"{len(found)} {what}s begin with {wanted}.", remedy="Type more of it.")
    if not found:
        more = "Type at least six characters of it; " if len(wanted) < 6 else ""
        listed = f"`{listing or f'wattpact {what} list'}` shows all."
        raise NotFound(f"There is no {what} {wanted}.", remedy=more + listed)
    return found[0]


def confirm(question: str, yes: bool) -> None:
    """Asks on the terminal. Without one it must have been said on the command line. Raises UsageError."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("This cannot be undone and there is nobody to ask.", remedy="Add --yes if it is meant.")
    if not typer.confirm(plain(question), err=True):
        raise UsageError("Nothing was done.", remedy="")


def confirm_by_word(warning: str, word: str, yes: bool) -> None:
    """As `confirm`, for what is worse: the word has to be typed. Raises UsageError."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("This cannot be undone and there is nobody to ask.", remedy="Add --yes if it is meant.")
    if typer.prompt(f"{warning}\nType {word} to go on", default="", show_default=False, err=True).strip() != word:
        raise UsageError("Nothing was done.", remedy="")


def read_passphrase(config: LoadedConfig | None, *, new: bool = False, what: str = "Passphrase") -> SecretStr:
    """From the settings, else typed without echo. Never from a flag: other users of a machine see those."""
    known = keystore_passphrase(config.settings) if config is not None else None
    if known is not None:
        return known
    named = os.environ.get("WATTPACT_NODE_PASSPHRASE") if config is None else None
    if named:
        return SecretStr(named)
    if not sys.stdin.isatty():
        raise UsageError(
            "The keystore's passphrase is needed and there is nobody to ask.",
            remedy="Set [node] passphrase_file or WATTPACT_NODE_PASSPHRASE.",
        )
    return SecretStr(typer.prompt(what, hide_input=True, confirmation_prompt=new, err=True))
