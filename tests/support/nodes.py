"""One real node for tests: data folder and identity by the product's own init, process, REST client."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

from keys.identity import Identity
from keys.signers import LocalSigner
from node.app.commands.initialize import initialize
from node.cli.factories import InitOptions
from node.config import read_access
from node.errors import NodeError
from node.runtime.broker.passwords import hash_for_mosquitto
from tests.support.processes import PATIENCE, PROGRAM, Process, free_port, until

__all__ = ["Answer", "NodeProcess", "Refusal", "Surroundings"]

PASSPHRASE = "correct-horse-battery-staple-"


class Refusal(AssertionError):
    """The node answered with an error: status, and its problem document."""

    def __init__(self, where: str, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{where}: {status} {problem}")
        self.status = status
        self.problem = problem
        self.words = " ".join(str(problem.get(key, "")) for key in ("title", "detail", "remedy"))


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of a raw call."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every node of a cluster needs to know."""

    root: Path
    rpc_url: str
    chain_id: int
    registry: str
    deploy_block: int
    broker_url: str


@dataclass(slots=True)
class NodeProcess:
    """A node by name. `settings` are dotted keys beside the common ones; change them with `configure`."""

    name: str
    role: str
    around: Surroundings
    settings: Mapping[str, object] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    identity: Identity = field(init=False, repr=False)
    words: str = field(init=False, repr=False)
    process: Process = field(init=False)

    def __post_init__(self) -> None:
        command = (*PROGRAM, "--config", str(self.config), "run")
        self.process = Process(self.name, command, self.around.root / "logs" / f"{self.name}.log")

    @property
    def folder(self) -> Path:
        return self.around.root / self.name

    @property
    def config(self) -> Path:
        return self.folder / "wattpact.toml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def password(self) -> str:
        """At the broker."""
        return f"{self.name}-password-of-the-broker"

    @property
    def hash_file(self) -> Path:
        return self.around.root / "broker" / f"{self.name}.hash"

    @property
    def passphrase(self) -> str:
        return PASSPHRASE + self.name

    def init(self) -> None:
        """Folder, identity and config file as `wattpact init` makes them; passphrase and password beside the folder."""
        secrets = self.around.root / "secrets"
        secrets.mkdir(mode=0o700, exist_ok=True)
        _private(secrets / f"{self.name}.passphrase", self.passphrase)
        _private(secrets / f"{self.name}.password", self.password)
        self.hash_file.parent.mkdir(mode=0o700, exist_ok=True)
        _private(self.hash_file, hash_for_mosquitto(self.password))
        made = initialize(InitOptions(self.folder, SecretStr(self.passphrase), None, self._settings()))
        assert made.mnemonic is not None
        self.words = made.mnemonic.get_secret_value()
        self.identity = Identity.from_mnemonic(self.words)

    def _settings(self) -> dict[str, object]:
        around, secrets = self.around, self.around.root / "secrets"
        reached = {} if self.settings.get("node.outbound_only") else {"node.public_url": self.url}
        return {
            "node.roles": (self.role,),
            "node.name": self.name,
            **reached,
            "node.passphrase_file": str(secrets / f"{self.name}.passphrase"),
            "chain.rpc_urls": (around.rpc_url,),
            "chain.chain_id": around.chain_id,
            "chain.registry": around.registry,
            "chain.deploy_block": around.deploy_block,
            "chain.poll_interval_s": 0.2,
            "broker.url": around.broker_url,
            "broker.username": self.name,
            "broker.password_file": str(secrets / f"{self.name}.password"),
            "api.listen": f"127.0.0.1:{self.port}",
            **self.settings,
        }

    def copy(self, name: str) -> NodeProcess:
        """The same identity in a copied folder under another port: what a careless move or a restore makes."""
        twin = NodeProcess(name, self.role, self.around, self.settings)
        twin.identity, twin.words = self.identity, self.words
        shutil.copytree(self.folder, twin.folder)
        text = twin.config.read_text(encoding="utf-8")
        twin.config.write_text(text.replace(f":{self.port}", f":{twin.port}"), encoding="utf-8")
        return twin

    def sender(self) -> LocalSigner:
        return self.identity.sender()

    # The process

    async def start(self, *flags: str, sets: Mapping[str, object] | None = None, within: float = PATIENCE) -> None:
        """`wattpact run`; returns once the REST interface of this very process answers."""
        await self.launch(*flags, sets=sets)
        await self.up(within)

    async def launch(self, *flags: str, sets: Mapping[str, object] | None = None) -> None:
        """`wattpact run` without waiting. `sets` are dotted settings for this run alone."""
        chosen = [word for key, value in (sets or {}).items() for word in ("--set", f"{key}={value}")]
        self.process.command = (*PROGRAM, "--config", str(self.config), *chosen, "run")
        await self.process.start(*flags)

    async def up(self, within: float = PATIENCE) -> None:
        """Once the REST interface answers; AssertionError with the log's end if the process ended instead."""

        async def look() -> bool:
            assert self.process.running, f"{self.name} ended: {self.process.said()[-1500:]}"
            with contextlib.suppress(NodeError, aiohttp.ClientError, OSError, TimeoutError):
                document = json.loads((self.folder / "api.json").read_text())
                return document["pid"] == self.process.pid and (await self.raw("GET", "/status")).status == 200
            return False

        await until(f"{self.name} answers", look, within)

    async def kill(self) -> None:
        """kill -9."""
        await self.process.end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        return await self.process.end()

    # REST

    async def raw(self, method: str, path: str, body: Any = None) -> Answer:
        """One call with the local token, whatever comes back."""
        access = read_access(self.folder)
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {access.token}"}, timeout=timeout) as session,
            session.request(method, f"{self.url}/api/v1{path}", json=body) as answer,
        ):
            return Answer(answer.status, await answer.read())

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The decoded answer. Raises Refusal for an error of the node."""
        answer = await self.raw(method, path, body)
        document: dict[str, Any] = json.loads(answer.body)
        if answer.status >= 400:
            raise Refusal(f"{self.name} {method} {path}", answer.status, document)
        return document

    async def get(self, path: str) -> dict[str, Any]:
        return await self.call("GET", path)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return await self.call("POST", path, body)

    async def items(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get(path))["items"]
        return found

    async def readings(self, sid: str) -> list[dict[str, Any]]:
        """Every reading of a stream that this node has, oldest page first as the node gives them."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self.get(f"/streams/{sid}/readings?limit=10000{cursor}")
            found += page["items"]
            if not page.get("next") or not page["items"]:
                return found
            cursor = f"&cursor={page['next']}"

    async def alarms(self) -> list[dict[str, Any]]:
        return await self.items("/alarms")

    def forget_database(self) -> None:
        """What is left when the database is lost: keystore, high-water file, channel log."""
        assert not self.process.running
        for path in self.folder.glob("wattpact.db*"):
            path.unlink()

    def forget_both_databases(self) -> None:
        """What is left when the channel log is lost as well: keystore, config, high-water file and the second store."""
        self.forget_database()
        for path in self.folder.glob("channels.db*"):
            path.unlink()


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text + "\n", encoding="utf-8")
