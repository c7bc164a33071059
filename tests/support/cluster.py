"""A household and its providers as real processes on a real chain: anvil, broker, meter, gateway, home, providers."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from node.app.demo.wiretap import Wiretap
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from tests.support.meter import SimulatedMeter
from tests.support.nodes import NodeProcess, Surroundings
from tests.support.processes import PATIENCE, PROGRAM, Process, free_port, until
from tests.support.rpc_proxy import RpcProxy, rpc_proxy

__all__ = ["RAW", "SLOT", "Cluster", "Plan"]

SLOT = 60
RAW = "electricity/1s"

_STREAM = ("commits", "data", "checkpoints")
_READS = (*_STREAM, "capsule/+", "replay/+")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cluster is made of. `proxied`: nodes that see the chain through a proxy of their own; `spares`: further
    gateways, each with a meter of its own, that nobody is paired with; `households`: further homes, without a gateway;
    `money`: with what settles trades; `past`: seconds from the streams' genesis to now; `steady`: W that the meter of a
    gateway shows besides, used if negative."""

    providers: tuple[str, ...] = ("alpha",)
    proxied: frozenset[str] = frozenset()
    spares: tuple[str, ...] = ()
    households: tuple[str, ...] = ()
    block_time: float = 1.0
    streams: tuple[str, ...] = (RAW,)
    money: bool = False
    past: int = SLOT
    steady: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


class Cluster:
    """`async with Cluster(folder, plan) as cluster`: everything runs, nobody is paired yet; all is ended at the end."""

    def __init__(self, root: Path, plan: Plan | None = None) -> None:
        self.root = root
        self.plan = plan or Plan()
        self.genesis = int(time.time()) // SLOT * SLOT - self.plan.past
        self.nodes: dict[str, NodeProcess] = {}
        self.proxies: dict[str, RpcProxy] = {}
        self.sids: dict[str, str] = {}
        self.devnet: Devnet
        self.wire: Wiretap
        self.broker: Process
        self.meter = SimulatedMeter(root, self.genesis, steady=self.plan.steady.get("gateway", 0))
        self.meters: dict[str, SimulatedMeter] = {"gateway": self.meter}
        self._stack = AsyncExitStack()

    @property
    def gateway(self) -> NodeProcess:
        return self.nodes["gateway"]

    @property
    def home(self) -> NodeProcess:
        return self.nodes["home"]

    @property
    def raw(self) -> str:
        """Stream id of the readings of each second."""
        return self.sids[RAW]

    async def __aenter__(self) -> Cluster:
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._stack.aclose)
            await self._start()
            undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        options = DevnetOptions(AnvilOptions(block_time=self.plan.block_time), settlement=self.plan.money)
        self.devnet = await self._stack.enter_async_context(Devnet(options))
        self.wire = Wiretap(("127.0.0.1", free_port()))
        await self.wire.start()
        self._stack.push_async_callback(self.wire.stop)
        for seed, name in enumerate(self.plan.spares, 8):
            steady = self.plan.steady.get(name, 0)
            self.meters[name] = SimulatedMeter(self.root / "meters" / name, self.genesis, seed=seed, steady=steady)
        for name in ("gateway", "home", *self.plan.spares, *self.plan.households, *self.plan.providers):
            self.nodes[name] = await self._make(name)
        self._write_broker()
        self._stack.push_async_callback(self._end_broker)
        await self.start_broker()
        for meter in self.meters.values():
            self._stack.push_async_callback(meter.process.end)
            await meter.start()
        for node in self.nodes.values():
            self._stack.push_async_callback(node.process.end)
            await node.launch()
        for node in self.nodes.values():
            await node.up()

    async def around(self, name: str = "") -> Surroundings:
        """What a node needs to know; a proxied one gets a proxy of its own."""
        url = self.devnet.url
        if name in self.plan.proxied:
            self.proxies[name] = await self._stack.enter_async_context(rpc_proxy(url))
            url = self.proxies[name].url
        registry = self.devnet.registry
        broker = f"mqtt://127.0.0.1:{self.wire.port}"
        address = "0x" + registry.address.hex()
        return Surroundings(self.root, url, self.devnet.chain_id, address, registry.block, broker)

    async def _make(self, name: str) -> NodeProcess:
        role = {"gateway": "gateway", "home": "home"}.get(name, "provider")
        role = "gateway" if name in self.plan.spares else "home" if name in self.plan.households else role
        settings: dict[str, object] = {}
        if role == "gateway":
            settings = {
                "meter.kind": "serial", "meter.device": str(self.meters[name].link), "streams.slot_seconds": SLOT,
                "streams.genesis": self.genesis, "streams.names": self.plan.streams,
            }  # fmt: skip
        settings |= self.plan.settings.get(name, {})
        node = NodeProcess(name, role, await self.around(name), settings)
        node.init()
        await self.devnet.fund(node.sender().address)
        return node

    def adopt(self, node: NodeProcess) -> NodeProcess:
        """A further node (a copy, say) that is ended with the cluster."""
        self._stack.push_async_callback(node.process.end)
        return node

    def _write_broker(self) -> None:
        folder = self.root / "broker"
        lines = [
            "[chain]", f'registry = "0x{self.devnet.registry.address.hex()}"', "[broker]", "embedded = true",
            f'listen = "127.0.0.1:{self.wire.broker[1]}"', "",
        ]  # fmt: skip
        for node in self.nodes.values():
            writes: Iterable[str] = _READS if node.role == "gateway" else ("ask",)
            reads: Iterable[str] = (*_STREAM, "ask") if node.role == "gateway" else _READS
            rules = [f"write wattpact/v1/+/{kind}" for kind in writes] + [f"read wattpact/v1/+/{k}" for k in reads]
            mailbox = node.identity.sealing_key("inbox").key_hash().hex()
            rules += ["readwrite wattpact/v1/+/meet", "write wattpact/v1/+/mail", f"read wattpact/v1/{mailbox}/mail"]
            rules += [f"write wattpact/v1/{mailbox}/card", "read wattpact/v1/+/card"]
            lines += [
                "[[broker.users]]", f'name = "{node.name}"', f'password_hash_file = "{node.hash_file}"',
                f"rules = {json.dumps(rules)}",
            ]  # fmt: skip
        config = folder / "wattpact.toml"
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = (*PROGRAM, "--config", str(config), "broker", "run")
        self.broker = Process("broker", command, self.root / "logs" / "broker.log")

    async def _end_broker(self) -> None:
        await self.broker.end()

    async def broker_for_others(self) -> None:
        """The broker anew, with the rights of the nodes as they are now."""
        await self.broker.end()
        self._write_broker()
        await self.start_broker()

    async def start_broker(self) -> None:
        """Starts the broker, again after it was ended; returns when it listens."""
        before = self.broker.said().count("broker: mqtt://")
        await self.broker.start()

        async def listens() -> bool:
            assert self.broker.running, self.broker.said()
            return self.broker.said().count("broker: mqtt://") > before

        await until("the broker listens", listens)

    # What a household does

    async def pair(self, *, live: bool = True) -> None:
        """Pairs home and gateway by the code, waits for the streams' first epoch, and lets the meter speak."""
        code = await self.gateway.post("/pairing/code")
        await self.home.post("/pairing", {"code": code["qr"]})

        async def paired() -> bool:
            return bool((await self.gateway.get("/pairing"))["state"] == "paired")

        await until("the pairing is final", paired)
        await self.started_streams()
        if live:
            await self.meter.tell("live")
            await self.flows()

    async def started_streams(self) -> None:
        """Waits until every stream has its first epoch on chain, and remembers the ids."""

        async def begun() -> bool:
            found = await self.gateway.items("/streams")
            self.sids = {stream["name"]: stream["sid"] for stream in found if stream["epoch"] >= 1}
            return set(self.sids) == set(self.plan.streams)

        await until("every stream has an epoch", begun)

    async def flows(self, *names: str, since: float | None = None, within: float = PATIENCE) -> None:
        """Waits until each named node (the home by default) has a reading of the raw stream from `since` (now) on."""
        moment = int(time.time() if since is None else since)
        for name in names or ("home",):
            node = self.nodes[name]

            async def newer(node: NodeProcess = node) -> bool:
                found = await self.recent(node, moment)
                return bool(found)

            await until(f"{name} reads what the meter says now", newer, within)

    async def recent(self, node: NodeProcess, since: int) -> list[int]:
        """Meter times of the raw readings from `since` on that a node has; empty also while it may not read."""
        answer = await node.raw("GET", f"/streams/{self.raw}/readings?from={since}&limit=10000")
        if answer.status == 404:  # not granted, or not final yet
            return []
        assert answer.status == 200, answer
        return [item["time"] for item in json.loads(answer.body)["items"]]

    async def ask(self, provider: str, *, of: str = "home", **wish: object) -> str:
        """A request for the raw stream from its genesis on that has arrived at the home, or a further one; its id."""
        # From the genesis on, so that nobody waits for the next slot to begin.
        home = self.nodes[of]
        away = self.plan.settings.get(of, {}).get("node.outbound_only")
        place = (await home.get("/status"))["broker"]["mailbox"] if away else home.url
        body = {"home": place, "streams": [RAW], "purpose": "insight", "start": self.genesis, **wish}
        request: str = (await self.nodes[provider].post("/requests", body))["id"]

        async def arrived() -> bool:
            return any(found["id"] == request for found in await home.items("/requests"))

        await until(f"the request of {provider} is at {of}", arrived)
        return request

    async def grant(self, provider: str, *, wait: bool = True, of: str = "home", **wish: object) -> str:
        """Asks and grants; returns the grant's id, by default once the provider reads."""
        request = await self.ask(provider, of=of, **wish)
        granted: str = (await self.nodes[of].post(f"/requests/{request}/grant", {}))["digest"]
        if wait:
            await self.flows(provider)
        return granted

    async def revoke(self, grant_id: str) -> str:
        """Revokes; returns the digest of the Revoke as soon as the home has signed it."""
        digest: str = (await self.home.post(f"/consents/{grant_id}/revoke", {}))["digest"]
        return digest

    async def stream_at(self, node: NodeProcess, sid: str | None = None) -> dict[str, object]:
        return await node.get(f"/streams/{sid or self.raw}")

    async def balance(self, address: bytes) -> int:
        return await self.devnet.rpc.balance(address)

    # What must never be in a log

    def leaks(self) -> list[str]:
        """Where a secret of any node stands in any log: passphrases, words, private keys, passwords, tokens."""
        found = []
        for log in sorted((self.root / "logs").glob("*.log")):
            text = log.read_text(encoding="utf-8", errors="replace").lower()
            for node in self.nodes.values():
                for what, secret in _secrets(node):
                    if secret.lower() in text:
                        found.append(f"{what} of {node.name} in {log.name}")
        return found


def _secrets(node: NodeProcess) -> Iterable[tuple[str, str]]:
    words = node.words.split()
    yield "passphrase", node.passphrase
    yield "password", node.password
    for index in range(len(words) - 2):
        yield "mnemonic", " ".join(words[index : index + 3])
    identity = node.identity
    for name, signer in (("wallet", identity.wallet()), ("device", identity.device()), ("sender", identity.sender())):
        yield f"{name} key", signer.to_bytes().hex()
    with contextlib.suppress(OSError):
        yield "token", json.loads((node.folder / "api.json").read_text())["token"]
