"""What the command line cannot do over REST, as callables that the app hands in. The command line imports no app.

All are synchronous (they run their own event loop), take frozen options, write progress to stderr only, and raise
errors of `node.errors` only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from node.config import Listen, LoadedConfig

__all__ = [
    "CliFactories",
    "DemoOptions",
    "DevnetOptions",
    "Finding",
    "InitOptions",
    "InitResult",
    "KeyCommands",
    "KeyRow",
    "RebuildOptions",
    "ReceiptOptions",
    "ResetOptions",
    "ResetResult",
    "RunOptions",
    "SimulateOptions",
    "VerifyOptions",
]


@dataclass(frozen=True, slots=True)
class InitOptions:
    """A new identity, or one restored from `mnemonic`. `settings` are dotted keys for the config file."""

    data_dir: Path
    passphrase: SecretStr
    mnemonic: SecretStr | None
    settings: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class InitResult:
    """What was made. `mnemonic` is set for a new identity and shown once."""

    config_path: Path
    addresses: Mapping[str, str]
    mnemonic: SecretStr | None


@dataclass(frozen=True, slots=True)
class ResetOptions:
    """A gateway's reset: the passphrase of its new keystore, and the file that the new mnemonic goes into, if one."""

    passphrase: SecretStr
    mnemonic_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ResetResult:
    """The accounts that ended and began, files that went, files that are left, and what no reset reaches.

    `mnemonic` is set where it is in no file, and shown once. `former` is empty where the old keystore did not open.
    """

    former: Mapping[str, str]
    addresses: Mapping[str, str]
    erased: tuple[str, ...]
    left: tuple[str, ...]
    stays: tuple[str, ...]
    mnemonic: SecretStr | None


@dataclass(frozen=True, slots=True)
class RunOptions:
    """`without_history`: start writers although the record of what they sealed is missing (channels.md 4.10)."""

    without_history: bool = False


@dataclass(frozen=True, slots=True)
class RebuildOptions:
    """`anew`: put the present database aside and begin with an empty one. `quiet`: no progress bar."""

    anew: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class DevnetOptions:
    """anvil with the contracts deployed and funded accounts. Port 0: any free one. `out`: facts as JSON.

    With a `registrar` (its address as text) there is an energy token too, with `settlement` the market too.
    """

    port: int = 8545
    block_time: int = 1
    out: Path | None = None
    registrar: str | None = None
    settlement: bool = False


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Where the report goes, and whether everything keeps running afterwards."""

    out: Path
    keep: bool = False


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """`assets` for `days`, or for so many `slots` of `slot_s` seconds; where report and pictures go."""

    assets: int
    days: int
    out: Path
    slots: int = 0
    slot_s: int = 3_600
    seed: int = 1
    first_hour: int = 0
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class BidsOptions:
    """A bid manager of its own: where it listens, its certificates, and where its market takes matches."""

    listen: Listen
    tls: Path
    market: str
    engine: str = "continuous"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `doctor` or `verify`."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """An export of a node and, if it is not inside, the channel log; `registry` as 0x... pins the expected contract."""

    export: Path
    log: Path | None = None
    registry: str | None = None


@dataclass(frozen=True, slots=True)
class ReceiptOptions:
    """The receipt of an erasure; `account` as 0x... pins who signed; `exports` of its streams prove commits."""

    receipt: Path
    account: str | None = None
    exports: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key in the keystore, without its secret."""

    name: str
    kind: str
    public: str


class KeyCommands(Protocol):
    """Work on the keystore while no node runs, or beside it: it is create-only."""

    def new(self, config: LoadedConfig, name: str, kind: str, passphrase: SecretStr) -> KeyRow:
        """Raises Conflict if the name is taken."""
        ...

    def show(self, config: LoadedConfig, passphrase: SecretStr) -> Sequence[KeyRow]: ...

    def export(self, config: LoadedConfig, name: str, passphrase: SecretStr, target: SecretStr) -> Mapping[str, object]:
        """The key as Ethereum keystore v3 under the passphrase `target`, so that other wallets open it."""
        ...


@dataclass(frozen=True, slots=True)
class CliFactories:
    """Everything the app hands to the command line. `demo` returns whether every check passed."""

    init: Callable[[InitOptions], InitResult]
    run: Callable[[LoadedConfig, RunOptions], None]
    rebuild: Callable[[LoadedConfig, RebuildOptions], Mapping[str, object]]
    broker: Callable[[LoadedConfig], None]
    devnet: Callable[[DevnetOptions], None]
    demo: Callable[[DemoOptions], bool]
    doctor: Callable[[LoadedConfig], Sequence[Finding]]
    verify: Callable[[VerifyOptions], Sequence[Finding]]
    receipt: Callable[[ReceiptOptions], Sequence[Finding]]
    keys: Callable[[], KeyCommands]
    simulate: Callable[[SimulateOptions], Mapping[str, Any]]
    bids: Callable[[BidsOptions], None]
    reset: Callable[[LoadedConfig, ResetOptions], ResetResult]
