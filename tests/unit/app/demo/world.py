"""The demo's story in one process and no time: real writer, engine, publisher, readers and meter; the rest are doubles.

A twin breaks one part by a subclass and expects exactly the check that guards it to fail.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Sequence
from functools import cache
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from channels.errors import ChannelError
from channels.gate import Gate
from channels.masters import Masters
from channels.position import Position
from channels.reader import Reader
from channels.reader_state import snapshot_reader
from channels.readings import Measurement, decode_batch, encode_batch
from channels.slots import OPEN_END, StreamParams
from channels.stores.memory import MemoryStore
from channels.stores.records import PendingReading
from channels.transports.topics import Kind, Topic
from channels.writer import Writer
from keys.messages import Grant, Revoke, StreamCommit, digest
from keys.sealing import SealingKey
from keys.stream_key import StreamKey
from node.app.demo.evidence import (
    Evidence,
    Harvest,
    Heard,
    Outage,
    Provider,
    Reading,
    Rebuild,
    Setting,
    WalletSignature,
)
from node.app.demo.truthfile import parse_truth
from node.clock import ManualClock
from node.services.gateway.engine import Ports, StreamEngine
from node.services.gateway.members import ActingGrant
from node.services.gateway.ports import StreamFacts
from node.services.gateway.publisher import Publisher
from node.services.simulator.household import Household
from tests.unit.app.demo.ledger import DOMAIN, REGISTRY, Ledger
from tests.unit.app.demo.party import Party, signer
from tests.unit.app.demo.village import VillageWorld

__all__ = ["EQUIPMENT", "GENESIS", "NAME", "REVOKED", "SLOT", "Party", "World"]

SLOT = 60
GENESIS = 1_795_046_400
HISTORY = 5 * SLOT
EQUIPMENT = "E0000000000000007"
NAME = "electricity/1s"


@cache
def _household() -> Household:
    """One for all: what it uses depends on the time that is asked for alone, and a day of it takes long to work out."""
    return Household(7, GENESIS)


class World:
    """One household, one stream, four providers. `play` is the story; attributes and methods are what twins replace."""

    writer_class: type[Writer] = Writer
    engine_class: type[StreamEngine] = StreamEngine
    gate = Gate()
    sees_revocation_after = 0  # seconds until the gateway acts on a revocation
    commit_takes = 0  # further seconds until a commit is in a block
    kill_signal = signal.SIGKILL
    thorough = False  # whether thieves have whole states and sealing keys instead of keys that stand alone

    def __init__(self) -> None:
        self.clock = ManualClock(GENESIS + HISTORY)
        self.ledger = Ledger()
        self.owner, self.device = signer("owner"), signer("device")
        self.writer_key, self.stream_key = signer("writer"), StreamKey(hashlib.sha256(b"stream").digest())
        self.name_hash = keccak(b"salt" + NAME.encode())
        fields = [31337, REGISTRY, self.owner.address, self.name_hash]
        self.sid = keccak(encode(["uint256", "address", "address", "bytes32"], fields))
        self.params = StreamParams(
            self.sid, GENESIS, SLOT, DOMAIN, self.writer_key.address, self.stream_key.public_bytes
        )
        self.masters = Masters.from_keys(self.sid, hashlib.sha256(b"M").digest(), hashlib.sha256(b"T").digest())
        self.household = _household()
        self.truth: list[str] = []
        self.heard: list[Heard] = []
        self.outages: list[Outage] = []
        self.moments: dict[str, float] = {"start": float(GENESIS + HISTORY)}
        self.parties = {letter: self.new_party(letter) for letter in "ABCD"}
        self.home_reader_key = SealingKey(hashlib.sha256(b"home").digest())
        self.revoked_at: dict[bytes, int] = {}
        self.wallet: WalletSignature | None = None
        self.store = MemoryStore()
        self.position: Position | None = None
        self.later: list[tuple[int, StreamCommit]] = []
        self.broker_up = True
        self.alive = True
        self.inst = 0
        self.rebuilds: tuple[Rebuild, ...] = ()

    def new_party(self, letter: str) -> Party:
        return Party(letter, SealingKey(hashlib.sha256(f"party {letter}".encode()).digest()))

    # The story

    async def play(self) -> World:
        self.pair()
        self.register()
        await self.start_gateway()
        await self.tick(meter=False)
        for at in range(GENESIS, GENESIS + HISTORY, 10):
            await self.say(at)
        await self.ticks(3)
        self.grant("A", start=self.clock.now())
        self.grant_c()
        edge = GENESIS + HISTORY + 2 * SLOT
        self.grant("B", start=GENESIS + HISTORY, end=edge)
        self.answer_d()
        await self.ticks(70)
        await self.kill_gateway()
        await self.ticks(6)
        await self.stop_broker()
        await self.ticks(6)
        self.moments["revoke"] = float(self.clock.now())
        self.parties["A"].states.add(self.state_of("A"))
        self.revoke_a()
        await self.ticks(5)
        self.ledger.reorg(5, self.clock.now())
        self.after_reorg()
        await self.ticks(edge - self.clock.now() - 1)
        self.at_edge()
        await self.ticks(20)
        self.moments["read"] = float(self.clock.now() + 6)
        await self.tick(meter=False)
        self.rebuilds = await self.rebuild()
        self.moments["end"] = float(self.clock.now())
        return self

    def pair(self) -> None:
        self.ledger.paired(self.owner.address, self.device.address)

    def register(self) -> None:
        self.ledger.registered(self.sid, self.owner.address, self.writer_key.address, self.name_hash, (GENESIS, SLOT))

    def grant(self, letter: str, start: int, end: int = OPEN_END) -> Grant:
        party = self.parties[letter]
        grant = Grant(
            owner=self.owner.address,
            reader=party.address,
            reader_key_hash=party.key.key_hash(),
            sids=(self.sid,),
            start=start,
            end=end,
            purpose_tag=0,
            text_hash=bytes(32),
            nonce=ord(letter),
            deadline=2**40 - 1,
        )
        party.grant_id = self.ledger.granted(grant)
        party.start, party.end = start, end
        party.reader = Reader(self.params, party.grant_id)
        return grant

    def grant_c(self) -> None:
        """The one that an external wallet signs."""
        grant = self.grant("C", start=GENESIS)
        self.wallet = WalletSignature(digest(grant, DOMAIN), self.owner.address)

    def answer_d(self) -> None:
        """Denied."""

    def revoke_a(self) -> None:
        message = Revoke(account=self.owner.address, grant_id=self.parties["A"].grant_id or b"", sid=bytes(32))
        self.ledger.revoked(message.grant_id, message.account)

    def after_reorg(self) -> None:
        """The home notices what is gone and sends it again; the gateway's engine does so by itself."""
        self.revoke_a()

    def on_chain(self, message: StreamCommit) -> bool:
        return any(commit == (message.epoch, message.commit_hash) for commit in self.chain_commits(pending=True))

    def at_edge(self) -> None:
        """Nobody does anything: B's grant just ends."""

    async def kill_gateway(self) -> None:
        began = self.clock.now() + 0.5
        self.alive = False
        await self.ticks(4)
        await self.restart_gateway()
        self.outages.append(Outage("gateway", began, self.clock.now() + 0.5, -self.kill_signal))

    async def restart_gateway(self) -> None:
        await self.start_gateway()

    async def stop_broker(self) -> None:
        began = self.clock.now() + 0.4
        self.broker_up = False
        await self.ticks(5)
        self.broker_up = True
        self.outages.append(Outage("broker", began, self.clock.now() + 0.2, 0))

    # Time

    async def ticks(self, count: int) -> None:
        for _ in range(count):
            await self.tick()

    async def tick(self, meter: bool = True) -> None:
        """One second: a block, a telegram, a round of the gateway, deliveries, and a thief's look."""
        self.clock.advance(1)
        now = self.clock.now()
        for due, message in list(self.later):
            if due <= now:
                self.later.remove((due, message))
                self.include(message)
        self.ledger.mine(now)
        if meter:
            await self.say(now)
        if self.alive:
            for _ in range(20):
                if not await self.engine.step():
                    break
            if self.broker_up:
                await self.publisher.drain(self.engine.active_epoch, self.engine.marked_seq)
        for party in self.parties.values():
            party.steal()

    def include(self, message: StreamCommit) -> None:
        """The registry takes each epoch once."""
        if not self.on_chain(message):
            self.ledger.committed(message.sid, message.epoch, message.commit_hash)

    async def say(self, at: int) -> None:
        """The meter speaks; whoever listens keeps it."""
        state = self.household.at(at)
        power = {"1-0:1.7.0": state.imported, "1-0:2.7.0": state.exported}
        line: dict[str, Any] = {
            "at": at, "meter_time": at, "registers": dict(state.registers), "power": power,
            "gas": list(state.gas), "fault": None, "complete": True,
        }  # fmt: skip
        self.truth.append(json.dumps(line) + "\n")
        if self.alive:
            await self.hear(at, {**state.registers, **power})

    async def hear(self, at: int, values: dict[str, int]) -> None:
        """The gateway keeps a reading until it is sealed."""
        payload = encode_batch([Measurement(at, at, 0, values)])
        await self.engine.take_in([PendingReading(at, at, 0, payload)])

    # The gateway

    async def start_gateway(self) -> None:
        self.alive = True
        self.inst += 1
        instance = hashlib.sha256(b"instance %d" % self.inst).digest()[:16]
        saved = await self.store.writer_record(self.sid)
        if saved is None:
            writer = self.writer_class(self.params, self.masters, self.stream_key, instance, gate=self.gate)
        else:
            writer = self.writer_class.restore(
                self.params, self.masters, self.stream_key, instance, saved, self.position
            )
        ports = Ports(self.store, self, self, self, self, self.clock, 2 * HISTORY)
        self.engine = self.engine_class(writer, instance, ports, self.gate)
        self.publisher = Publisher(self.sid, self.store, self)
        self.submitted: list[StreamCommit] = getattr(self, "submitted", [])
        await self.engine.load()

    def chain_commits(self, pending: bool = False) -> list[tuple[int, bytes]]:
        logs = [log for block in self.ledger.chain for log in block.logs] + (self.ledger.pending if pending else [])
        found = [log for log in logs if log.topics[0] == _COMMITTED]
        return [(log.word(0), log.word_bytes(1)) for log in found]

    async def stream(self, sid: bytes) -> StreamFacts | None:
        epoch, commit_hash = max(self.chain_commits(), default=(0, bytes(32)))
        return StreamFacts(epoch, commit_hash, self.writer_key.address)

    def block(self) -> tuple[int, int]:
        newest = self.ledger.chain[-1]
        return newest.number, newest.timestamp

    def is_final(self, party: Party) -> bool:
        blocks = self.ledger.chain[:-1]
        return any(party.grant_id in log.topics for block in blocks for log in block.logs)

    def is_revoked(self, party: Party) -> bool:
        """At first sight and for good, whatever becomes of the block."""
        seen = [b for b in self.ledger.seen for log in b.logs if log.topics[:2] == (REVOKED, party.grant_id)]
        return bool(seen) and self.clock.now() >= seen[0].timestamp + self.sees_revocation_after

    def acting_grant(self, party: Party) -> ActingGrant:
        slots = self.params.granted_slots(party.start, party.end)
        return ActingGrant(party.grant_id or b"", party.key.key_hash(), *slots)

    def present(self, ended: bool) -> list[ActingGrant]:
        now = self.clock.now()
        return [
            self.acting_grant(party)
            for party in self.parties.values()
            if party.grant_id and self.is_final(party) and not self.is_revoked(party) and (party.end <= now) is ended
        ]

    async def acting(self, sid: bytes) -> Sequence[ActingGrant]:
        return self.present(ended=False)

    async def ended(self, sid: bytes) -> Sequence[ActingGrant]:
        return self.present(ended=True)

    async def reader_keys(self, sid: bytes) -> dict[bytes, bytes]:
        keys = [*(party.key for party in self.parties.values()), self.home_reader_key]
        return {key.key_hash(): key.public_bytes for key in keys}

    async def owner_key_hash(self, sid: bytes) -> bytes | None:
        return self.home_reader_key.key_hash()

    async def owned_since(self, sid: bytes) -> int | None:
        return 0

    async def sign(self, message: StreamCommit) -> bytes:
        return await self.writer_key.sign_message(message, DOMAIN)

    async def submit(self, message: StreamCommit, signature: bytes) -> None:
        self.submitted.append(message)
        self.later.append((self.clock.now() + self.commit_takes, message))

    def advance(self, position: Position) -> None:
        self.position = position

    # Broker and providers

    async def publish(self, topic: Topic, payload: bytes) -> None:
        now = self.clock.now() + 0.3
        retain = topic.kind in (Kind.COMMITS, Kind.CHECKPOINTS, Kind.CAPSULE)
        self.heard.append(Heard(now, "gateway", topic.kind.value, topic.sid, topic.key, payload, retain))
        for party in self.parties.values():
            self.deliver(party, topic, payload)

    def deliver(self, party: Party, topic: Topic, payload: bytes) -> None:
        reader = party.reader
        if reader is None or (topic.key and topic.key != party.grant_id):
            return
        progress = None
        try:
            if topic.kind is Kind.CAPSULE:
                reader.receive_capsule(payload, party.key, self)
                party.steal()
                party.deleted = True
                data = [item.payload for item in self.heard if item.kind == "data"]
                reader = party.reader = self.fresh(party, reader)
                progress = reader.open(data)
            elif topic.kind is Kind.COMMITS and reader.follower is not None:
                progress = reader.process_commit(payload, self)
            elif topic.kind is Kind.DATA:
                progress = reader.open([payload])
        except ChannelError:
            return
        if progress is not None:
            party.keep(self.opened(progress))

    @staticmethod
    def opened(progress: Any) -> list[Reading]:
        """What a look at the log opened, reading by reading."""
        return [reading for found in progress.readings for reading in _readings(found)]

    def fresh(self, party: Party, reader: Reader) -> Reader:
        """With its keys it reads the log from the beginning."""
        again = Reader(reader.params, reader.grant_id)
        again.keyring, again.follower, again.capsule_epoch = reader.keyring, reader.follower, reader.capsule_epoch
        return again

    def commit_hash(self, epoch: int) -> bytes | None:
        return dict(self.chain_commits()).get(epoch)

    def live_grants(self, block: int) -> int:
        return len(self.parties)

    # Evidence

    def state_of(self, letter: str) -> bytes:
        reader = self.parties[letter].reader
        return b"" if reader is None else snapshot_reader(reader)

    def harvest(self, party: Party) -> Harvest:
        wallet = signer(f"wallet {party.letter}").address.rjust(32, b"\1")
        if not self.thorough:
            return Harvest(party.letter, frozenset(party.secrets | {wallet}), looks=200)
        states = frozenset(party.states | ({self.state_of(party.letter)} - {b""}))
        return Harvest(party.letter, frozenset({wallet}), states, frozenset({party.key.to_bytes()}), 200)

    def setting(self) -> Setting:
        return Setting(
            chain_id=31337,
            registry=REGISTRY,
            separator=DOMAIN.separator(),
            owner=self.owner.address,
            device=self.device.address,
            genesis=GENESIS,
            slot_seconds=SLOT,
            live_from=GENESIS + HISTORY,
            equipment=EQUIPMENT,
            names={self.sid: NAME},
        )

    async def rebuild(self) -> tuple[Rebuild, ...]:
        """What home and gateway showed before they lost their databases and after. Here they never lose them;
        `JournalWorld` is where they do."""
        shown = {"streams": [self.sid.hex()]}
        had = {self.sid: tuple(self.parties["C"].readings)}
        return Rebuild("home", shown, shown, had, had), Rebuild("gateway", shown, shown)

    def evidence(self) -> Evidence:
        found = {
            letter: Provider(letter, party.grant_id, {self.sid: tuple(party.readings)})
            for letter, party in self.parties.items()
        }
        return Evidence(
            setting=self.setting(),
            heard=tuple(self.heard),
            blocks=tuple(self.ledger.seen),
            head=self.ledger.chain[-1].hash,
            receipts=dict(self.ledger.receipts),
            truth=parse_truth(self.truth),
            providers=found,
            harvests={letter: self.harvest(party) for letter, party in self.parties.items()},
            moments=dict(self.moments),
            outages=tuple(self.outages),
            rebuilds=self.rebuilds,
            wallet=self.wallet,
            settlement=VillageWorld().settlement(),
        )


def _readings(found: Any) -> list[Reading]:
    return [
        Reading(m.meter_time, found.slot, found.epoch, found.seq, dict(m.values)) for m in decode_batch(found.plaintext)
    ]


_COMMITTED = keccak(text="Committed(bytes32,uint64,bytes32)")
REVOKED = keccak(text="Revoked(bytes32,address,bytes32)")
