"""What the story stands on: the processes, the eyes and ears, and everything that was noted on the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from eth_utils.address import to_canonical_address

from keys.messages import registry_domain
from node.app.demo.chainwatch import ChainWatch
from node.app.demo.errors import DemoFailed
from node.app.demo.evidence import Evidence, Outage, Provider, Rebuild, Setting, WalletSignature
from node.app.demo.keyharvest import KeyHarvest
from node.app.demo.nodes import DemoNode
from node.app.demo.processes import Processes
from node.app.demo.progress import Steps
from node.app.demo.registrylog import commits_on_chain, name_of
from node.app.demo.truthfile import read_truth
from node.app.demo.village import Village
from node.app.demo.wirelog import commits_of, envelopes_of
from node.app.demo.wiretap import Wiretap
from node.runtime.devnet.devnet import Devnet

__all__ = ["GATEWAY", "HOME", "PROVIDERS", "SLOT_SECONDS", "Meter", "Story", "until"]

GATEWAY: Final = "gateway"
HOME: Final = "home"
PROVIDERS: Final = ("A", "B", "C", "D")
SLOT_SECONDS: Final = 60
HISTORY_S: Final = 2 * 86_400

_LOOK_S = 0.1


async def until(what: str, holds: Callable[[], Awaitable[bool]], within: float, processes: Processes) -> None:
    """Looks ten times a second. Raises DemoFailed with `what` when the time is over or a process ended."""
    end = time.monotonic() + within
    while not await holds():
        processes.check()
        if time.monotonic() > end:
            raise DemoFailed(f"Waited {within:.0f} s for this in vain: {what}.")
        await asyncio.sleep(_LOOK_S)


@dataclass(slots=True)
class Meter:
    """The simulator process and its control socket."""

    folder: Path
    seed: int = 7
    steady: int = 0

    @property
    def link(self) -> Path:
        return self.folder / "p1"

    @property
    def socket(self) -> Path:
        return self.folder / "meter.sock"

    @property
    def truth(self) -> Path:
        return self.folder / "truth.jsonl"

    def command(self, genesis: int) -> Sequence[str]:
        return (
            sys.executable, "-m", "node.services.simulator", "--link", str(self.link), "--control", str(self.socket),
            "--truth", str(self.truth), "--backlog-from", str(genesis), "--step", "10", "--seed", str(self.seed),
            "--steady", str(self.steady),
        )  # fmt: skip

    async def tell(self, *words: object) -> dict[str, Any]:
        """One command; `wait` answers only when the backlog is over. Raises DemoFailed when it is refused."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            writer.write(" ".join(map(str, words)).encode() + b"\n")
            await writer.drain()
            answer: dict[str, Any] = json.loads(await reader.readline())
        finally:
            writer.close()
        if not answer.get("ok"):
            raise DemoFailed(f"The meter refuses `{' '.join(map(str, words))}`: {answer.get('error')}")
        return answer

    def equipment(self, log: Path) -> str:
        """The serial number that it said it has."""
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if found.get("event") == "ready":
                    return str(found["equipment"])
        raise DemoFailed("The meter did not start.", remedy=f"Look into {log}.")


@dataclass(slots=True)
class Story:
    """Everything that the steps share. Evidence gathers here and is frozen at the end."""

    steps: Steps
    out: Path
    processes: Processes
    devnet: Devnet
    watch: ChainWatch
    tap: Wiretap
    meter: Meter
    genesis: int
    providers: asyncio.Task[None] | None = None
    villagers: asyncio.Task[None] | None = None
    nodes: dict[str, DemoNode] = field(default_factory=dict)
    harvests: dict[str, KeyHarvest] = field(default_factory=dict)
    names: dict[bytes, str] = field(default_factory=dict)
    granted: dict[str, bytes] = field(default_factory=dict)
    moments: dict[str, float] = field(default_factory=dict)
    outages: list[Outage] = field(default_factory=list)
    rebuilds: list[Rebuild] = field(default_factory=list)
    wallet: WalletSignature | None = None
    live_from: int = 0
    village: Village | None = None

    @property
    def home(self) -> DemoNode:
        return self.nodes[HOME]

    @property
    def gateway(self) -> DemoNode:
        return self.nodes[GATEWAY]

    def sid(self, name: str) -> bytes:
        return {found: sid for sid, found in self.names.items()}[name]

    def note(self, moment: str) -> float:
        """Remembers the present as a moment of the story."""
        self.moments[moment] = time.time()
        return self.moments[moment]

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]], within: float = 90.0) -> None:
        await until(what, holds, within, self.processes)

    def logs(self, event: str) -> int:
        """How many logs of an event were seen in any block."""
        return sum(name_of(log) == event for block in self.watch.blocks.values() for log in block.logs)

    def on_chain(self, event: str, grant_id: bytes) -> list[bytes]:
        """Hashes of the blocks of the present chain with an event of one grant, oldest first."""
        found = self.evidence_of_chain().canonical
        return [
            block.hash for block in found for log in block.logs if name_of(log) == event and log.topics[1] == grant_id
        ]

    def commits_are_back(self) -> bool:
        """Whether the chain has every epoch that readers were told of."""
        chain = self.evidence_of_chain()
        told = {sid: max((c.epoch for c in commits_of(self.tap.heard, sid)), default=0) for sid in self.names}
        return all(len(commits_on_chain(chain, sid)) >= epoch for sid, epoch in told.items())

    def evidence_of_chain(self) -> Evidence:
        """Only what the chain shows now."""
        return Evidence(self.setting(), blocks=tuple(self.watch.blocks.values()), head=self.watch.head)

    async def data_after(self, moment: float, sid: bytes, count: int = 1) -> bool:
        """Whether so many envelopes of a stream were heard since a moment."""
        recent = [i for i in self.tap.heard[-400:] if i.kind == "data" and i.sid == sid and i.at > moment]
        return len(recent) >= count

    def setting(self) -> Setting:
        registry = self.devnet.registry.address
        addresses = {name: node.addresses for name, node in self.nodes.items()}
        return Setting(
            chain_id=self.devnet.chain_id,
            registry=registry,
            separator=registry_domain(self.devnet.chain_id, registry).separator(),
            owner=_address(addresses.get(HOME, {}), "wallet"),
            device=_address(addresses.get(GATEWAY, {}), "device"),
            genesis=self.genesis,
            slot_seconds=SLOT_SECONDS,
            live_from=self.live_from,
            equipment=self.meter.equipment(self.processes.logs / "meter.log"),
            names=dict(self.names),
        )

    async def freeze(self) -> Evidence:
        """The record of everything, once the providers' readings were fetched into `providers`."""
        return Evidence(
            setting=self.setting(),
            heard=tuple(self.tap.heard),
            blocks=tuple(self.watch.blocks.values()),
            head=self.watch.head,
            receipts=await self.watch.receipts(),
            truth=read_truth(self.meter.truth),
            providers={letter: await self._provider(letter) for letter in PROVIDERS},
            harvests={letter: harvest.taken() for letter, harvest in self.harvests.items()},
            moments=dict(self.moments),
            outages=tuple(self.outages),
            rebuilds=tuple(self.rebuilds),
            wallet=self.wallet,
            settlement=await self.village.freeze() if self.village is not None else None,
        )

    async def _provider(self, letter: str) -> Provider:
        node = self.nodes[letter]
        readings, refusals = {}, []
        for sid, name in self.names.items():
            try:
                readings[sid] = await node.readings(sid)
            except DemoFailed as refused:
                refusals.append(f"{name}: {refused.message}")
        return Provider(letter, self.granted.get(letter), readings, tuple(refusals))

    async def away(self, name: str, number: signal.Signals, pause: float) -> Outage:
        """Ends a process, waits, starts it again. The outage ends when a node answers, or a broker listens."""
        began = time.time()
        code = await self.processes.end(name, number)
        await asyncio.sleep(pause)
        await self.processes.restart(name)
        if name in self.nodes:
            await self.nodes[name].until_up()
        else:
            await self.until(f"the {name} listens", self._broker_listens, 20)
        outage = Outage(name, began, time.time(), code)
        self.outages.append(outage)
        return outage

    async def _broker_listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(*self.tap.broker)
        except OSError:
            return False
        writer.close()
        return True

    def newest(self, sid: bytes) -> Mapping[str, int]:
        """Epoch, slot and seq of the newest envelope of a stream."""
        last = envelopes_of(self.tap.heard[-400:], sid)[-1]
        return {"epoch": last.epoch, "slot": last.slot, "seq": last.seq}


def _address(addresses: Mapping[str, str], name: str) -> bytes:
    found = addresses.get(name) or addresses.get("owner" if name == "wallet" else name)
    return to_canonical_address(found) if found else bytes(20)
