"""Erasure between two nodes, real stores and real parcels; the chain's word is told, not asked for.

The attackers: a stranger, a provider that would pass off a receipt for something else, a crash after any step.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from channels.stores.records import OpenedReading, OpenRecord, StoredCommit, StoredEnvelope
from channels.stores.vault import KeystoreVault
from channels.transports.inprocess import Hub, InProcessTransport
from keys.identity import Identity
from keys.keystore import Keystore
from keys.messages import parcel_domain
from keys.parcel import pack
from keys.sealing import SealingKey
from node.app.core import Core, Keys, canonical, open_chain, open_storage, peer_of
from node.app.datadir import DataDir
from node.app.inbox import Inbox
from node.app.streams.erasing import Eraser
from node.app.streams.provider import ProviderRole
from node.app.streams.readerkeys import consent_key_name, refresh_key_name
from node.clock import ManualClock
from node.config import Settings
from node.errors import Conflict, NotFound, Refused
from node.observability import Metrics
from node.projection import events as e
from node.projection.base import Event
from node.projection.effects import SendParcel
from node.projection.erasure import Erasure, ErasureStatus
from node.wire.erasure import ErasureReceipt, SignedReceipt, read_receipt, receipt_statement
from tests.unit.keys.builders import CHEAP
from tests.unit.node.projection.kit import address, block, h32

NOW = 1_790_000_000
GRANT, REQUEST = h32("g"), h32("q")
SIDS = (h32("s"), h32("t"))
READINGS = 40


@dataclass(frozen=True)
class Side:
    """One node, as far as an erasure needs it."""

    core: Core
    eraser: Eraser
    inbox: Inbox

    async def state(self) -> Erasure:
        return await self.core.storage.views.one(Erasure, GRANT)

    async def parcels(self) -> list[SendParcel]:
        """What the outbox has for other nodes."""
        items = await self.core.storage.outbox.claim(NOW + 10**6, 50, 1)
        return [item.effect for item in items if isinstance(item.effect, SendParcel)]

    async def send(self, to: Side, kind: str, body: Any) -> None:
        data = await pack(
            self.core.signer, to.core.keys.sealing.public_bytes, kind, body, chain_id=31337, now=NOW, lifetime=600
        )
        await to.inbox.take(data, "127.0.0.1")


async def opened(stack: AsyncExitStack, folder: Path, number: int, role: str) -> Side:
    clock = ManualClock(NOW)
    place = folder / role
    settings = Settings.model_validate(
        {
            "node": {"data_dir": place, "roles": (role,), "name": role, "public_url": f"http://{role}.example"},
            "chain": {"rpc_urls": ("http://127.0.0.1:1",), "chain_id": 31337, "registry": "0x" + "12" * 20},
        }
    )
    data = DataDir.of(settings)
    data.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = not (place / "keystore").exists()
    keystore = Keystore.create(place / "keystore", "x", CHEAP) if fresh else Keystore.open(place / "keystore", "x")
    identity = Identity(bytes([number]) * 64)
    storage = await open_storage(stack, settings, data, identity, clock, KeystoreVault(keystore))
    chain = await open_chain(stack, settings, data, identity, storage, clock)
    http = aiohttp.ClientSession()
    stack.push_async_callback(http.close)
    keys = Keys(keystore, identity, identity.sealing_key("inbox"))
    core = Core(settings, clock, Metrics(), keys, storage, chain, InProcessTransport(Hub(), role), http, NOW)
    core.storage.journal.want({SendParcel})
    eraser, inbox = Eraser(core, ProviderRole(core)), Inbox(core)
    eraser.register(inbox)
    return Side(core, eraser, inbox)


@dataclass(frozen=True)
class World:
    home: Side
    provider: Side
    stranger: Side
    folder: Path

    async def tell(self, *events: Event) -> None:
        for side in (self.home, self.provider):
            await side.core.storage.journal.apply(events)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A live consent over two streams, both read; the provider still has keys of every kind."""
    async with AsyncExitStack() as stack:
        home = await opened(stack, tmp_path, 1, "home")
        provider = await opened(stack, tmp_path, 2, "provider")
        stranger = await opened(stack, tmp_path / "stranger", 3, "provider")
        owner, here = peer_of(home.core.card), peer_of(provider.core.card)
        await home.core.storage.journal.apply(
            [
                e.ReceivedConsentRequest(REQUEST, here, "{}", NOW + 99, NOW),
                e.RequestedConsentGrant(REQUEST, GRANT, "{}", NOW),
            ]
        )
        await provider.core.storage.journal.apply(
            [
                e.RequestedConsent(REQUEST, owner, "{}", NOW + 99, NOW),
                e.ReceivedConsentGranted(REQUEST, owner.address, GRANT, "{}", NOW),
            ]
        )
        found = World(home, provider, stranger, tmp_path)
        granted = e.LoggedGranted(
            block(1), GRANT, owner.address, address("r"), h32("k"), SIDS, 0, 2**40 - 1, 7, h32("T")
        )
        await found.tell(granted, e.LoggedFinalized(1, NOW))
        for name in (consent_key_name(REQUEST), refresh_key_name(REQUEST, h32("h")), f"resync-{REQUEST.hex()[:24]}-1"):
            provider.core.keys.keystore.put(name, "sealing", SealingKey.generate().to_bytes())
        for sid in SIDS:
            await _read(provider, sid)
        yield found


async def _read(side: Side, sid: bytes) -> None:
    rows = tuple(OpenedReading(i, 5, 1, h32("i")[:16], i, 0, False, b"%d Wh at home" % i) for i in range(READINGS))
    log = tuple(
        StoredEnvelope(1, 5, h32("i")[:16], i, sha256(sid + bytes([i])).digest(), sid + b"envelope %d" % i)
        for i in range(READINGS)
    )
    commit = StoredCommit(1, sha256(sid).digest(), b"commit")
    record = OpenRecord(b"keys", rows, envelopes=log, commits=(commit,))
    await side.core.storage.channels.record_open(sid, GRANT, record)


def revoked(world: World) -> e.ReceivedRevocation:
    return e.ReceivedRevocation(GRANT, world.home.core.signer.address, bytes(32), NOW)


async def handed_over(world: World) -> str:
    """The whole way; the receipt as the home has it."""
    await world.home.eraser.ask(GRANT, "moved out")
    ask = next(each for each in await world.home.parcels() if each.kind == "consent.erase")
    await world.home.send(world.provider, ask.kind, json.loads(ask.body))
    await world.provider.eraser.step()
    receipt = next(each for each in await world.provider.parcels() if each.kind == "consent.erased")
    await world.provider.send(world.home, receipt.kind, json.loads(receipt.body))
    return (await world.home.state()).receipt


async def test_the_owner_asks_and_the_provider_destroys_and_signs(world: World) -> None:
    await world.tell(revoked(world))
    text = await handed_over(world)
    receipt = read_receipt(text, world.provider.core.signer.address)
    assert (receipt.requested_by, receipt.reason, receipt.owner) == (
        "owner", "moved out", world.home.core.signer.address,
    )  # fmt: skip
    assert [(s.sid, s.readings, s.envelopes, s.epoch, s.commit_hash) for s in receipt.streams] == [
        (sid, READINGS, READINGS, 1, sha256(sid).digest()) for sid in SIDS
    ]
    assert (await world.provider.state()).receipt == text
    assert world.provider.core.keys.keystore.names() == (), "no private key, and none of the store's"
    files = [path.read_bytes() for path in (world.folder / "provider").rglob("*") if path.is_file()]
    assert not any(SIDS[0] + b"envelope" in content for content in files)


async def test_nothing_happens_while_the_consent_is_live_and_the_provider_waits_for_the_end(world: World) -> None:
    with pytest.raises(Conflict):
        await world.home.eraser.ask(GRANT, "")
    with pytest.raises(Conflict):
        await world.provider.eraser.ask(GRANT, "")
    # The home has revoked; the provider has not heard of it when the request comes.
    await world.home.send(world.provider, "consent.erase", {"grant_id": "0x" + GRANT.hex(), "reason": ""})
    await world.provider.eraser.step()
    assert (await world.provider.state()).status is ErasureStatus.DUE
    assert await world.provider.core.storage.channels.reading_count(SIDS[0], GRANT) == READINGS
    await world.tell(revoked(world))
    await world.provider.eraser.step()
    assert (await world.provider.state()).status is ErasureStatus.DONE
    assert await world.provider.core.storage.channels.reading_count(SIDS[0], GRANT) == 0


async def test_attack_a_stranger_erases_nothing(world: World) -> None:
    await world.tell(revoked(world))
    body = {"grant_id": "0x" + GRANT.hex(), "reason": "mine"}
    with pytest.raises(NotFound):
        await world.stranger.send(world.provider, "consent.erase", body)
    await world.provider.eraser.step()
    assert (await world.provider.state()).status is ErasureStatus.NONE
    with pytest.raises(NotFound):
        await world.stranger.eraser.ask(GRANT, "")


async def _signed(by: Side, receipt: ErasureReceipt) -> dict[str, Any]:
    signature = await by.core.signer.sign_message(receipt_statement(receipt), parcel_domain(receipt.chain_id))
    document: dict[str, Any] = SignedReceipt(receipt=receipt, signature=signature).to_json()
    return document


async def test_attack_a_receipt_for_something_else_or_by_somebody_else_is_not_kept(world: World) -> None:
    """The provider would rather sign that it erased another consent, or less than it was given."""
    await world.tell(revoked(world))
    await world.provider.eraser.ask(GRANT, "kept long enough")
    await world.provider.eraser.step()
    true = read_receipt((await world.provider.state()).receipt)
    assert true.requested_by == "reader"
    less, other = true.streams[:1], replace_sid(true)
    lies: list[dict[str, Any]] = [{"streams": less}, {"streams": other}, {"chain_id": 1}, {"text_hash": GRANT}]
    for wrong in (*lies, {"owner": address("x")}):
        document = await _signed(world.provider, true.model_copy(update=wrong))
        with pytest.raises(Refused, match="another consent"):
            await world.provider.send(world.home, "consent.erased", document)
    unknown = await _signed(world.provider, true.model_copy(update={"grant_id": h32("z")}))
    with pytest.raises(NotFound):
        await world.provider.send(world.home, "consent.erased", unknown)
    forged = await _signed(world.stranger, true.model_copy(update={"account": world.stranger.core.signer.address}))
    with pytest.raises(NotFound):
        await world.stranger.send(world.home, "consent.erased", forged)
    document = await _signed(world.provider, true)
    with pytest.raises(Refused, match="another account"):
        await world.stranger.send(world.home, "consent.erased", document)
    assert (await world.home.state()).status is ErasureStatus.NONE
    await world.provider.send(world.home, "consent.erased", document)
    assert (await world.home.state()).status is ErasureStatus.DONE


def replace_sid(receipt: ErasureReceipt) -> tuple[Any, ...]:
    return (receipt.streams[0], receipt.streams[1].model_copy(update={"sid": h32("z")}))


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_a_crash_after_some_streams_changes_nothing_in_the_receipt(world: World, steps: int) -> None:
    """Killed after the private keys and `steps` of the streams; a new process goes on and counts everything once."""
    await world.tell(revoked(world))
    await world.home.send(world.provider, "consent.erase", {"grant_id": "0x" + GRANT.hex(), "reason": ""})
    world.provider.core.keys.keystore.delete(consent_key_name(REQUEST))
    for sid in SIDS[:steps]:
        await world.provider.core.storage.channels.erase_reader(sid, GRANT, GRANT, NOW - 5)
    again = Eraser(world.provider.core, ProviderRole(world.provider.core))
    await again.step()
    receipt = read_receipt((await world.provider.state()).receipt)
    assert [stream.readings for stream in receipt.streams] == [READINGS, READINGS]
    assert receipt.erased_at == (NOW if steps < 2 else NOW - 5)
    await again.step()
    assert len([each for each in await world.provider.parcels() if each.kind == "consent.erased"]) == 1
    assert canonical(json.loads((await world.provider.state()).receipt)) == (await world.provider.state()).receipt
