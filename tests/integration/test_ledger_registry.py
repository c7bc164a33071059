"""The real registry as the ledger reads it: messages arrive as events, views answer, another contract is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.artifact import load_artifact, verify_runtime_code
from keys import messages as m
from keys.ids import device_hash
from keys.signers import LocalSigner
from node.errors import ExitCode
from node.ledger.errors import RegistryMismatch
from node.ledger.transaction import TxState
from node.ledger.views import RegistryViews
from node.projection.events import (
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
from tests.support.registryworld import SALT, ZERO, same, world

pytestmark = pytest.mark.chain


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

        fresh = m.RegisterKey(w.reader.address, grant_id, b"\x44" * 32, w.nonce(), w.deadline)
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
        pair = m.PairDevice(w.owner.address, hashed, w.nonce(), w.deadline)
        await w.put(pair, w.owner, w.device, opening=(w.device.address, SALT))
        next_writer = LocalSigner.generate()
        await w.put(
            m.SetWriter(w.owner.address, sid, next_writer.address, b"\x66" * 32, w.nonce(), w.deadline),
            w.owner,
            next_writer,
        )
        await w.put(m.UnpairDevice(w.device.address, hashed, (sid,), w.nonce(), w.deadline), w.device)
        heir = LocalSigner.generate()
        await w.put(m.TransferStream(w.owner.address, heir.address, sid, w.nonce(), w.deadline), w.owner, heir)
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
