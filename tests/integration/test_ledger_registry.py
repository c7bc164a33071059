"""The ledger with the real registry: signed messages in, decoded events out, through reorganisations and restarts."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import pytest

from contracts.artifact import load_artifact, verify_runtime_code
from keys import messages as m
from keys.ids import device_hash, name_hash, stream_id
from keys.signers import LocalSigner
from node.clock import SystemClock
from node.errors import ExitCode, Refused
from node.ledger.budget import DailyBudget
from node.ledger.errors import MessageMalformed, MessageRefused, RegistryMismatch, RelayBudgetSpent
from node.ledger.finality import Finality
from node.ledger.indexer import Indexer, IndexerOptions
from node.ledger.logs import Watched
from node.ledger.memory import MemoryTransactions
from node.ledger.registry import RegistryDecoder, registry_reason
from node.ledger.relay import Relay
from node.ledger.sender import Sender, SenderOptions
from node.ledger.transaction import TxState
from node.ledger.views import RegistryViews
from node.projection.events import (
    ChainEvent,
    LoggedCommitted,
    LoggedDevicePaired,
    LoggedDeviceUnpaired,
    LoggedGranted,
    LoggedKeyRegistered,
    LoggedRevoked,
    LoggedStreamRegistered,
    LoggedStreamTransferred,
    LoggedWriterSet,
)
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions

pytestmark = pytest.mark.chain
SALT = b"\x5a" * 32
ZERO = bytes(32)
_nonces = itertools.count(1)


@dataclass
class World:
    devnet: Devnet
    views: RegistryViews
    sender: Sender
    relay: Relay
    indexer: Indexer[ChainEvent]
    now: int
    owner: LocalSigner = field(default_factory=LocalSigner.generate)
    writer: LocalSigner = field(default_factory=LocalSigner.generate)
    reader: LocalSigner = field(default_factory=LocalSigner.generate)
    device: LocalSigner = field(default_factory=LocalSigner.generate)

    @property
    def domain(self) -> m.Domain:
        return self.relay.domain

    @property
    def deadline(self) -> int:
        return self.now + 86_400

    def stream(self, name: str = "power") -> m.RegisterStream:
        return m.RegisterStream(
            self.owner.address,
            name_hash(SALT, name),
            self.writer.address,
            b"\x11" * 32,
            self.now - 1_000,
            10,
            next(_nonces),
            self.deadline,
        )

    def sid(self, message: m.RegisterStream) -> bytes:
        return stream_id(self.domain.chain_id, self.views.address, message.owner, message.name_hash)

    def grant(self, *sids: bytes) -> m.Grant:
        return m.Grant(
            self.owner.address,
            self.reader.address,
            b"\x22" * 32,
            sids,
            self.now,
            m.OPEN_END,
            7,
            b"\x33" * 32,
            next(_nonces),
            self.deadline,
        )

    async def sign(self, message: m.Message, *signers: LocalSigner) -> list[bytes]:
        return [await signer.sign_message(message, self.domain) for signer in signers]

    async def put(self, message: m.Message, *signers: LocalSigner, opening: tuple[bytes, ...] = ()) -> bytes:
        """Relay, mine, and return the digest."""
        relayed = await self.relay.relay(message, await self.sign(message, *signers), opening)
        await self.settle()
        return relayed.digest

    async def settle(self) -> None:
        await self.sender.step()
        await self.devnet.mine()
        await self.sender.step()

    async def events(self) -> list[ChainEvent]:
        batch = await self.indexer.step()
        return [] if batch is None else list(batch.events)


@asynccontextmanager
async def world(tmp_path: Path, *, budget: DailyBudget | None = None) -> AsyncIterator[World]:
    clock = SystemClock()
    payer = LocalSigner.generate()
    options = DevnetOptions(AnvilOptions(block_time=0), fund=[payer.address])
    async with Devnet(options, clock) as devnet:
        rpc, registry = devnet.rpc, devnet.registry
        views = RegistryViews(rpc, registry.address, devnet.chain_id, registry.block)
        sender_options = SenderOptions(tmp_path, Finality(1), idle_pause=0.0)
        indexer: Indexer[ChainEvent] = Indexer(
            rpc, Watched((registry.address,), registry.block), RegistryDecoder(), Finality(1), clock, IndexerOptions()
        )
        now = (await rpc.head()).timestamp
        async with Sender(rpc, payer, MemoryTransactions(), clock, registry_reason, sender_options) as sender:
            yield World(devnet, views, sender, Relay(rpc, sender, views, budget), indexer, now)


def same(event: ChainEvent, kind: type[ChainEvent], **values: object) -> None:
    assert type(event) is kind
    found = {f.name: getattr(event, f.name) for f in fields(event) if f.name != "block"}
    assert found == values


async def test_every_message_arrives_as_its_event(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        stream = w.stream()
        sid = w.sid(stream)
        await w.put(stream, w.owner, w.writer)
        (registered,) = await w.events()
        same(
            registered,
            LoggedStreamRegistered,
            sid=sid,
            owner=stream.owner,
            writer=stream.writer,
            name_hash=stream.name_hash,
            stream_key_hash=stream.stream_key_hash,
            genesis=stream.genesis,
            slot_seconds=10,
        )
        head = await w.devnet.rpc.head()
        assert (registered.block.number, registered.block.hash) == (head.number, head.hash)

        grant = w.grant(sid)
        grant_id = await w.put(grant, w.owner)
        (granted,) = await w.events()
        same(
            granted,
            LoggedGranted,
            grant_id=grant_id,
            owner=grant.owner,
            reader=grant.reader,
            reader_key_hash=grant.reader_key_hash,
            sids=(sid,),
            start=grant.start,
            end=m.OPEN_END,
            purpose_tag=7,
            text_hash=grant.text_hash,
        )
        assert await w.views.is_live(grant_id, sid, w.now + 10)

        fresh = m.RegisterKey(w.reader.address, grant_id, b"\x44" * 32, next(_nonces), w.deadline)
        await w.put(fresh, w.reader, opening=(sid,))
        (key,) = await w.events()
        same(key, LoggedKeyRegistered, grant_id=grant_id, reader_key_hash=b"\x44" * 32)

        await w.put(m.StreamCommit(sid, 1, b"\x55" * 32), w.writer)
        (committed,) = await w.events()
        same(committed, LoggedCommitted, sid=sid, epoch=1, commit_hash=b"\x55" * 32)

        await w.put(m.Revoke(w.reader.address, grant_id, ZERO), w.reader)
        (revoked,) = await w.events()
        same(revoked, LoggedRevoked, grant_id=grant_id, account=w.reader.address, sid=ZERO)
        assert not await w.views.is_live(grant_id, sid, w.now + 10)


async def test_writers_devices_and_transfers_arrive_as_events(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        stream = w.stream()
        sid = w.sid(stream)
        await w.put(stream, w.owner, w.writer)
        hashed = device_hash(SALT, w.owner.address, w.device.address)
        pair = m.PairDevice(w.owner.address, hashed, next(_nonces), w.deadline)
        await w.put(pair, w.owner, w.device, opening=(w.device.address, SALT))
        next_writer = LocalSigner.generate()
        await w.put(
            m.SetWriter(w.owner.address, sid, next_writer.address, b"\x66" * 32, next(_nonces), w.deadline),
            w.owner,
            next_writer,
        )
        await w.put(m.UnpairDevice(w.device.address, hashed, (sid,), next(_nonces), w.deadline), w.device)
        heir = LocalSigner.generate()
        await w.put(m.TransferStream(w.owner.address, heir.address, sid, next(_nonces), w.deadline), w.owner, heir)
        found = {type(event): event for event in (await w.events())[1:]}
        paired, unpaired = found[LoggedDevicePaired], found[LoggedDeviceUnpaired]
        same(paired, LoggedDevicePaired, owner=w.owner.address, device_hash=hashed, device=w.device.address)
        same(unpaired, LoggedDeviceUnpaired, owner=w.owner.address, device_hash=hashed)
        written = found[LoggedWriterSet]
        assert isinstance(written, LoggedWriterSet)
        assert written.writer == bytes(20), "the last one: unpairing ends the writer right in the same call"
        same(
            found[LoggedStreamTransferred],
            LoggedStreamTransferred,
            sid=sid,
            owner=w.owner.address,
            new_owner=heir.address,
        )
        assert w.indexer.unknown_logs == 0


async def test_an_unsigned_revocation_is_the_senders_own_or_refused(tmp_path: Path) -> None:
    """The short call for a sender's own revocation names nobody: it must never be made for anybody else."""
    async with world(tmp_path) as w:
        grant_id = b"\x11" * 32
        with pytest.raises(MessageRefused) as refused:
            await w.relay.relay(m.Revoke(w.owner.address, grant_id, ZERO), [b""])
        assert refused.value.name == "WrongSigner"
        await w.relay.relay(m.Revoke(w.sender.address, grant_id, ZERO), [b""])
        await w.settle()
        (revoked,) = await w.events()
        same(revoked, LoggedRevoked, grant_id=grant_id, account=w.sender.address, sid=ZERO)


async def test_relaying_twice_finds_the_first_and_a_lost_database_finds_the_chain(tmp_path: Path) -> None:
    async with world(tmp_path / "a") as w:
        stream = w.stream()
        sid = w.sid(stream)
        grant, commit = w.grant(sid), m.StreamCommit(sid, 1, b"\x55" * 32)
        signed = [(stream, [w.owner, w.writer]), (grant, [w.owner]), (commit, [w.writer])]
        for message, signers in signed:
            await w.put(message, *signers)
        revoke = m.Revoke(w.owner.address, m.digest(grant, w.domain), ZERO)
        nonce = await w.devnet.rpc.nonce(w.sender.address)
        for message, signers in signed:
            again = await w.relay.relay(message, await w.sign(message, *signers))
            assert again.transaction is not None
            assert again.transaction.state in {TxState.MINED, TxState.FINAL}
        payer = LocalSigner.generate()
        async with Sender(
            w.devnet.rpc, payer, MemoryTransactions(), SystemClock(), registry_reason, SenderOptions(tmp_path / "b")
        ) as other:
            relay = Relay(w.devnet.rpc, other, w.views)
            for message, signers in signed:
                assert (await relay.relay(message, await w.sign(message, *signers))).already
            assert await w.devnet.rpc.nonce(w.sender.address) == nonce
            await w.put(revoke, w.owner)
            assert (await relay.relay(revoke, await w.sign(revoke, w.owner))).already


async def test_a_commit_with_another_hash_at_the_same_epoch_is_a_refusal_not_a_success(tmp_path: Path) -> None:
    """Two copies of one writer: the second must learn that it lost, whatever it asks."""
    async with world(tmp_path) as w:
        stream = w.stream()
        sid = w.sid(stream)
        await w.put(stream, w.owner, w.writer)
        await w.put(m.StreamCommit(sid, 1, b"\x55" * 32), w.writer)
        forked = m.StreamCommit(sid, 1, b"\x56" * 32)
        with pytest.raises(MessageRefused, match="EpochNotNext") as refused:
            await w.relay.relay(forked, await w.sign(forked, w.writer))
        assert ("expected", "2") in refused.value.arguments
        assert ("given", "1") in refused.value.arguments


async def test_a_stream_and_its_first_grant_may_follow_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        stream = w.stream()
        grant = w.grant(w.sid(stream))
        await w.relay.relay(stream, await w.sign(stream, w.owner, w.writer))
        await w.sender.step()
        await w.relay.relay(grant, await w.sign(grant, w.owner))
        await w.sender.step()
        await w.devnet.mine()
        await w.settle()
        await w.settle()
        assert {type(event) for event in await w.events()} == {LoggedStreamRegistered, LoggedGranted}


async def test_refusals_reach_the_user_decoded_and_cost_no_gas(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        stream = w.stream()
        await w.put(stream, w.owner, w.writer)
        nonce = await w.devnet.rpc.nonce(w.sender.address)
        stranger = LocalSigner.generate()
        grant = w.grant(w.sid(stream))
        cases = [
            (grant, [stranger], "WrongSigner"),
            (replace(grant, deadline=w.now - 1), [w.owner], "DeadlinePassed"),
            (replace(grant, nonce=stream.nonce), [w.owner], "NonceUsed"),
            (replace(grant, end=grant.start), [w.owner], "EmptyInterval"),
            (replace(w.stream(), name_hash=stream.name_hash), [w.owner, w.writer], "StreamExists"),
        ]
        for message, signers, name in cases:
            with pytest.raises(MessageRefused, match=name) as refused:
                await w.relay.relay(message, await w.sign(message, *signers))
            assert refused.value.name == name
            assert refused.value.exit_code is ExitCode.REFUSED
        assert await w.devnet.rpc.nonce(w.sender.address) == nonce


async def test_a_revocation_that_a_reorganisation_removed_is_sent_again_until_it_is_final(tmp_path: Path) -> None:
    """contracts.md, "Finality": a signed Revoke is re-sent until final; also when its grant went with it."""
    async with world(tmp_path) as w:
        stream = w.stream()
        sid = w.sid(stream)
        await w.put(stream, w.owner, w.writer)
        await w.devnet.mine(5)
        grant_id = await w.put(w.grant(sid), w.owner)
        digest = await w.put(m.Revoke(w.owner.address, grant_id, sid), w.owner)
        await w.indexer.step()
        await w.devnet.reorg(2)
        assert [type(event) for event in await w.events()] == []
        for _ in range(4):
            await w.settle()
        assert not await w.views.is_live(grant_id, sid, w.now + 10)
        found = await w.sender.find(digest)
        assert found is not None
        assert found.state is TxState.FINAL
        assert found.succeeded
        assert {type(event) for event in await w.events()} >= {LoggedRevoked}


async def test_wallet_documents_for_another_chain_or_contract_are_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        grant = w.grant(w.sid(w.stream()))
        good = m.typed_data(grant, w.domain)
        for domain in (m.registry_domain(1, w.views.address), m.registry_domain(w.domain.chain_id, b"\x01" * 20)):
            with pytest.raises(MessageMalformed, match="another chain or contract"):
                await w.relay.relay_document(m.typed_data(grant, domain), [b"\0" * 65])
        with pytest.raises(MessageMalformed, match="takes 1 signature"):
            await w.relay.relay_document(good, [])
        with pytest.raises(MessageMalformed):
            await w.relay.relay_document(good | {"primaryType": "Permit"}, [b"\0" * 65])
        pair = m.PairDevice(w.owner.address, ZERO, 1, w.deadline)
        with pytest.raises(MessageMalformed, match="opening"):
            await w.relay.relay(pair, [b"", b""])


async def test_the_budget_is_per_signer_and_strangers_are_not_served(tmp_path: Path) -> None:
    known: set[bytes] = set()

    async def allowed(signer: bytes) -> bool:
        return signer in known

    async with world(tmp_path, budget=DailyBudget(SystemClock(), 2, allowed)) as w:
        stream = w.stream()
        signatures = await w.sign(stream, w.owner, w.writer)
        with pytest.raises(Refused, match="serves its own users"):
            await w.relay.accept(stream, signatures)
        known.add(w.owner.address)
        await w.relay.accept(stream, signatures)
        await w.relay.accept(stream, signatures)  # found again, costs nothing
        gas, water = w.stream("gas"), w.stream("water")
        await w.relay.accept(gas, await w.sign(gas, w.owner, w.writer))
        with pytest.raises(RelayBudgetSpent) as spent:
            await w.relay.accept(water, await w.sign(water, w.owner, w.writer))
        await w.put(water, w.owner, w.writer)  # this node's own words are not counted
        assert spent.value.status == 429
        assert 0 < spent.value.retry_after <= 86_400


async def test_attack_who_forges_a_signature_spends_nobodys_budget(tmp_path: Path) -> None:
    """contracts.md, "The relay": budgets per signer; who only names an account is not its signer."""

    async def allowed(_signer: bytes) -> bool:
        return True

    async with world(tmp_path, budget=DailyBudget(SystemClock(), 1, allowed)) as w:
        for name in ("a", "b", "c"):
            forged = w.stream(name)
            with pytest.raises(MessageRefused):
                await w.relay.accept(forged, await w.sign(forged, w.writer, w.writer))
        stream = w.stream()
        await w.relay.accept(stream, await w.sign(stream, w.owner, w.writer))
        other = w.stream("gas")
        with pytest.raises(RelayBudgetSpent):
            await w.relay.accept(other, await w.sign(other, w.owner, w.writer))


async def test_only_the_account_vouches_for_its_revocation(tmp_path: Path) -> None:
    """contracts.md: a revocation is kept until it is final, so nobody else's may be."""
    async with world(tmp_path) as w:
        revoke = m.Revoke(w.owner.address, b"\x07" * 32, bytes(32))
        await w.relay.vouch(revoke, await w.sign(revoke, w.owner))
        with pytest.raises(MessageRefused, match="WrongSigner"):
            await w.relay.vouch(revoke, await w.sign(revoke, w.writer))


async def test_a_registry_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.views.check()
        empty = RegistryViews(w.devnet.rpc, b"\x01" * 19 + b"\x99", w.devnet.chain_id)
        with pytest.raises(RegistryMismatch) as wrong:
            await empty.check()
        assert wrong.value.exit_code is ExitCode.CONFIG
        code = await w.devnet.rpc.code(w.views.address)
        forged = code[:-100] + bytes([code[-100] ^ 1]) + code[-99:]
        await w.devnet.rpc.request("anvil_setCode", ["0x" + w.views.address.hex(), "0x" + forged.hex()])
        with pytest.raises(RegistryMismatch, match="is not ConsentRegistry"):
            await w.views.check()


async def test_a_registry_with_a_forged_domain_separator_is_refused(tmp_path: Path) -> None:
    """An attacker deploys our code with other immutables: it tells our domain and verifies signatures for another."""
    async with world(tmp_path) as w:
        code = await w.devnet.rpc.code(w.views.address)
        refused = 0
        for start, length in load_artifact().immutables:
            forged = bytearray(code)
            forged[start + length - 1] ^= 1
            await w.devnet.rpc.request("anvil_setCode", ["0x" + w.views.address.hex(), "0x" + forged.hex()])
            verify_runtime_code(bytes(forged))
            try:
                await w.views.check()
            except RegistryMismatch:
                refused += 1
        assert refused


async def test_the_same_code_at_another_address_is_a_registry_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        code = await w.devnet.rpc.code(w.views.address)
        elsewhere = b"\x42" * 20
        await w.devnet.rpc.request("anvil_setCode", ["0x" + elsewhere.hex(), "0x" + code.hex()])
        copy = RegistryViews(w.devnet.rpc, elsewhere, w.devnet.chain_id)
        await copy.check()
        assert (await copy.domain()).verifying_contract == elsewhere


async def test_views_answer_at_a_block(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        stream = w.stream()
        sid = w.sid(stream)
        before = await w.devnet.rpc.head()
        await w.put(stream, w.owner, w.writer)
        await w.put(m.StreamCommit(sid, 1, b"\x55" * 32), w.writer)
        head = await w.devnet.rpc.head()
        assert await w.views.stream(sid, at=before.number) is None
        assert await w.views.stream(sid, at=before.hash) is None
        now = await w.views.stream(sid, at=head.hash)
        assert now is not None
        assert (now.owner, now.writer, now.epoch) == (w.owner.address, w.writer.address, 1)
        assert await w.views.nonce_used(w.owner.address, stream.nonce)
        assert not await w.views.nonce_used(w.owner.address, stream.nonce + 10_000)
