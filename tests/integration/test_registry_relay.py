"""The relay at the real registry: signed messages in, once each; refusals decoded; budgets by signer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keys import messages as m
from keys.signers import LocalSigner
from node.clock import SystemClock
from node.errors import ExitCode, Refused
from node.ledger.budget import DailyBudget
from node.ledger.errors import MessageMalformed, MessageRefused, RelayBudgetSpent
from node.ledger.memory import MemoryTransactions
from node.ledger.registry import registry_reason
from node.ledger.relay import Relay
from node.ledger.sender import Sender, SenderOptions
from node.ledger.transaction import TxState
from node.projection.events import LoggedGranted, LoggedRevoked, LoggedStreamRegistered
from tests.support.registryworld import ZERO, same, world

pytestmark = pytest.mark.chain


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
