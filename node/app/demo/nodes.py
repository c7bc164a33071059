"""The demo's nodes: data folders, config files and identities made as a person makes them; REST and command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from node.app.demo.errors import DemoFailed
from node.app.demo.evidence import Reading
from node.app.demo.processes import Processes
from node.config import read_access
from node.errors import NodeUnreachable
from node.runtime.broker.passwords import hash_for_mosquitto

__all__ = ["APP", "FINALITY", "DemoNode", "Shared", "free_port", "write_private", "write_toml"]

APP: Final = (sys.executable, "-m", "node.app")

FINALITY: Final = 4
"""Blocks after which a grant acts."""

_FIRST_PORT: Final = 12_000
_PORTS: Final = 20_000

# How the REST interface calls what telegrams call by OBIS code.
_CODES: Final = {
    "import_1_wh": "1-0:1.8.1", "import_2_wh": "1-0:1.8.2", "export_1_wh": "1-0:2.8.1", "export_2_wh": "1-0:2.8.2",
    "import_w": "1-0:1.7.0", "export_w": "1-0:2.7.0", "import_wh": "1-0:1.8.0", "export_wh": "1-0:2.8.0",
    "interval_import_wh": "1-0:1.29.0", "interval_export_wh": "1-0:2.29.0",
    "gas_l": "0-n:24.2.1", "interval_gas_l": "0-n:24.29.1",
}  # fmt: skip


def free_port() -> int:
    """A TCP port that nothing listens on at this moment. Who asked for it listens seconds later, so it is none of those
    that systems give to outgoing connections (Linux: from 32768 on): one of these might be in use by then."""
    while True:
        port = _FIRST_PORT + secrets.randbelow(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def write_private(path: Path, text: str) -> Path:
    """A file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def write_toml(path: Path, sections: Mapping[str, Mapping[str, Any]], tail: str = "") -> Path:
    """A config file. JSON's spelling of text, numbers and lists of text is TOML's as well."""
    lines: list[str] = []
    for section, content in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in content.items()), ""]
    path.write_text("\n".join(lines) + tail, encoding="utf-8")
    return path


@dataclass(frozen=True, slots=True)
class Shared:
    """What all nodes of the demo have in common."""

    processes: Processes
    root: Path
    rpc_url: str
    chain_id: int
    registry: str
    deploy_block: int
    broker_url: str


@dataclass(slots=True)
class DemoNode:
    """One node: its folder and its process. `extra` are further config sections."""

    name: str
    role: str
    shared: Shared
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    addresses: Mapping[str, str] = field(default_factory=dict)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def folder(self) -> Path:
        return self.shared.root / self.name

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        return self.folder / "wattpact.toml"

    @property
    def passphrase_file(self) -> Path:
        return self.folder / "passphrase"

    @property
    def hash_file(self) -> Path:
        """The hash of this node's password at the broker, of the kind that both brokers understand."""
        return self.folder / "broker.hash"

    def make_folder(self) -> None:
        """The data folder with its secrets: passphrase of the keystore, password at the broker and its hash."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700, parents=True)
        write_private(self.passphrase_file, secrets.token_urlsafe(24) + "\n")
        write_private(self.folder / "broker.password", self.password + "\n")
        write_private(self.hash_file, hash_for_mosquitto(self.password) + "\n")

    async def init(self) -> None:
        """Identity (`wattpact init`) and config file."""
        shared, passphrase = self.shared, self.passphrase_file.read_text().strip()
        made = await self.cli(
            "--data-dir", str(self.folder), "init", "--role", self.role, "--name", f"Demo {self.name}",
            "--registry", shared.registry, "--rpc-url", shared.rpc_url, "--chain-id", str(shared.chain_id),
            "--mnemonic-file", str(self.folder / "words"), "--json",
            environment={"WATTPACT_NODE_PASSPHRASE": passphrase}, bare=True,
        )  # fmt: skip
        self.addresses = {key: value for key, value in json.loads(made).items() if str(value).startswith("0x")}
        self.write_config()

    def write_config(self) -> None:
        """The config file, anew where `extra` has changed."""
        write_toml(self.config, self._sections())

    def _sections(self) -> dict[str, Mapping[str, Any]]:
        shared = self.shared
        return {
            "node": {
                "roles": [self.role],
                "name": f"Demo {self.name}",
                "passphrase_file": "passphrase",
                "public_url": self.url,
            },
            "chain": {
                "rpc_urls": [shared.rpc_url],
                "chain_id": shared.chain_id,
                "registry": shared.registry,
                "deploy_block": shared.deploy_block,
                "poll_interval_s": 0.25,
                # The reorg of the story is to be one that a chain may make: not below what counts as final.
                "finality_depth": FINALITY,
            },
            "broker": {"url": shared.broker_url, "username": self.name, "password_file": "broker.password"},
            "api": {"listen": f"127.0.0.1:{self.port}"},
            "log": {"level": "info", "format": "json"},
            **self.extra,
        }

    async def start(self) -> None:
        """`wattpact run`; returns once the REST interface answers."""
        await self.shared.processes.start(self.name, (*APP, "--config", str(self.config), "run"))
        await self.until_up()

    async def until_up(self, within: float = 90.0) -> None:
        """Waits until the REST interface answers. Raises DemoFailed.

        After a kill the access file of the dead process lies there still, and its token is refused.
        """
        end = asyncio.get_running_loop().time() + within
        while asyncio.get_running_loop().time() < end:
            self.shared.processes.check()
            try:
                await self.get("/status")
            except (aiohttp.ClientError, NodeUnreachable, DemoFailed, TimeoutError, OSError):
                await asyncio.sleep(0.1)
            else:
                return
        raise DemoFailed(f"{self.name} does not answer after {within:.0f} s.")

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        return await self._call("GET", path, {key: str(value) for key, value in query.items()}, None)

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._call("POST", path, {}, body)

    async def _call(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """One call with the local token. Raises DemoFailed with the node's words for anything but success."""
        access = read_access(self.folder)
        headers = {"Authorization": f"Bearer {access.token}"}
        timeout = aiohttp.ClientTimeout(total=60)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, f"{access.url}/api/v1{path}", params=query, json=body, headers=headers) as answer,
        ):
            document: dict[str, Any] = await answer.json(content_type=None)
            if answer.status >= 400:
                raise DemoFailed(f"{self.name} answers {answer.status} to {method} {path}: {document.get('detail')}")
            return document

    async def items(self, path: str) -> list[dict[str, Any]]:
        """A list of the REST interface."""
        found: list[dict[str, Any]] = (await self.get(path))["items"]
        return found

    async def readings(self, sid: bytes) -> tuple[Reading, ...]:
        """Every reading of one stream that this node has, with OBIS codes for names."""
        found: list[Reading] = []
        query: dict[str, str | int] = {"limit": 10_000}
        while True:
            page = await self.get(f"/streams/0x{sid.hex()}/readings", **query)
            for item in page["items"]:
                values = {_CODES.get(key, key): value for key, value in item["values"].items()}
                found.append(
                    Reading(item["time"], item["slot"], item["epoch"], item["seq"], values, item["provisional"])
                )
            if not page.get("next") or not page["items"]:
                return tuple(found)
            query["cursor"] = page["next"]

    async def cli(
        self,
        *words: str,
        environment: Mapping[str, str] | None = None,
        bare: bool = False,
        stdin: str = "",
    ) -> str:
        """Runs `wattpact` with this node's config and returns what it printed. Raises DemoFailed with its words."""
        command: Sequence[str] = (*APP, *words) if bare else (*APP, "--config", str(self.config), *words)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self.shared.processes.clean_environment(), **(environment or {})},
        )
        try:
            out, err = await process.communicate(stdin.encode())
        finally:
            if process.returncode is None:  # broken off: it must not outlive the run
                process.kill()
                await process.wait()
        if process.returncode:
            said = " ".join(err.decode(errors="replace").split())[-400:]
            raise DemoFailed(f"`wattpact {' '.join(words)}` on {self.name} ends with {process.returncode}: {said}")
        return out.decode()

    def delete_database(self) -> None:
        """What a person would do who lost it: keystore, high-water file and channel log stay."""
        for path in self.folder.glob("wattpact.db*"):
            path.unlink()
