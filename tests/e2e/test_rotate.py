"""New keys for a stream whose old ones were stolen (channels.md, "not promised": rotate by SetWriter)."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from channels.envelope import EnvelopeHeader, Lane, SlotCipher
from channels.errors import EnvelopeRejected, EpochErased
from channels.ggm import Cover
from channels.masters import Masters, slot_root
from contracts.bindings.consent_registry.calls import encode_commit
from keys.keystore import Keystore
from keys.messages import StreamCommit, registry_domain
from node.app.commands.receipt import verify_receipt
from node.app.commands.verify import verify_export
from node.app.demo.wirelog import envelopes_of
from node.cli.factories import ReceiptOptions, VerifyOptions
from node.ledger.errors import LedgerError
from node.wire.past import read_past
from tests.e2e.conftest import Clusters
from tests.support.cluster import RAW, Cluster, Plan
from tests.support.kills import check_everything
from tests.support.nodes import Refusal
from tests.support.processes import until
from tests.support.wire import chain_commits, commits_agree

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    async with clusters(Plan(providers=("alpha",))) as cluster:
        await cluster.pair()
        await cluster.grant("alpha")
        yield cluster


def _masters(cluster: Cluster) -> list[Masters]:
    """Every M and T that the gateway's keystore holds for the raw stream."""
    keystore = Keystore.open(cluster.gateway.folder / "keystore", cluster.gateway.passphrase)
    names = [name for name in keystore.names() if name.startswith(f"masters-{cluster.raw[2:]}")]
    return [Masters.from_bytes(keystore.get(name)) for name in names]


def _opens(masters: Masters, envelope: bytes) -> bool:
    """Whether a thief of M opens an envelope."""
    header = EnvelopeHeader.decode(envelope)
    root = slot_root(masters.epoch_secret(header.epoch), header.sid, header.epoch)
    lane = Lane(header.sid, header.epoch, header.slot, header.inst)
    cipher = SlotCipher.of(Cover.whole(root).leaf(header.slot), lane)
    try:
        cipher.open(envelope, header.seq, signed=False)
    except EnvelopeRejected:
        return False
    return True


def _data(cluster: Cluster) -> list[bytes]:
    sid = bytes.fromhex(cluster.raw[2:])
    return [heard.payload for heard in cluster.wire.heard if heard.kind == "data" and heard.sid == sid]


async def test_the_old_keys_neither_write_nor_read_after_a_rotation(cluster: Cluster) -> None:
    begin = time.time()
    before = await cluster.stream_at(cluster.home)
    device = (await cluster.home.get("/pairing"))["device_hash"]
    thief = cluster.gateway.identity.writer(f"{RAW}/{device[2:]}")
    assert str(before["writer"]).lower() == "0x" + thief.address.hex(), "the thief has the stream's writer key"
    [stolen] = _masters(cluster)
    assert _opens(stolen, _data(cluster)[-1]), "the thief has the masters"

    begun = await cluster.home.post(f"/streams/{cluster.raw}/rotate")
    assert begun["name"] == RAW

    async def rotated() -> bool:
        now = await cluster.stream_at(cluster.home)
        anew = now["writer"] != before["writer"] and int(str(now["epoch"])) > int(str(before["epoch"]))
        return anew and not await cluster.home.items("/pairing/move")

    await until("the stream has new keys", rotated)
    await cluster.flows("home", "alpha")
    first = max(await chain_commits(cluster, cluster.raw))

    async def sealed_since() -> list[bytes]:
        return [data for data in _data(cluster) if EnvelopeHeader.decode(data).epoch >= first]

    later = await until("the new writer seals", sealed_since)
    assert not any(_opens(stolen, data) for data in later), "the stolen masters open what came after"

    domain = registry_domain(cluster.devnet.chain_id, cluster.devnet.registry.address)
    message = StreamCommit(bytes.fromhex(cluster.raw[2:]), first + 1, b"\x01" * 32)
    data = encode_commit(message, await thief.sign_message(message, domain))
    call = {"to": "0x" + cluster.devnet.registry.address.hex(), "data": "0x" + data.hex()}
    with pytest.raises(LedgerError):
        await cluster.devnet.rpc.request("eth_call", [call, "latest"])

    await check_everything(cluster, [], begin, ("home", "alpha"))
    for name in ("home", "alpha"):
        assert await cluster.nodes[name].alarms() == []


async def test_the_past_is_erased_with_the_former_writers_keys_and_the_stream_goes_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    """channels.md 4 rule 11: the owner's wish, the commit that ends the epoch, the receipt, and word to the reader."""
    stolen, sealed = _masters(cluster), _data(cluster)
    assert len(stolen) == 2
    await cluster.home.post(f"/streams/{cluster.raw}/erase", {"everything": True, "reason": "sold"})

    async def erased() -> bool:
        found = await cluster.home.get(f"/streams/{cluster.raw}/erasure")
        return bool(found["state"] == "done")

    await until("the past is erased", erased, 60)
    document = (await cluster.home.get(f"/streams/{cluster.raw}/erasure"))["receipt"]
    receipt = read_past(document)
    assert receipt.keys == 2, "those of the former writer as well"
    assert receipt.envelopes > 0
    [left] = _masters(cluster)
    for data in sealed:
        if EnvelopeHeader.decode(data).epoch <= receipt.epoch:
            with pytest.raises(EpochErased):
                left.epoch_secret(EnvelopeHeader.decode(data).epoch)

    async def told() -> bool:
        with suppress(Refusal):
            found = await cluster.nodes["alpha"].get(f"/streams/{cluster.raw}/erasure")
            return bool(found["state"] == "told")
        return False

    await until("the reader is told", told, 30)
    await cluster.flows("home", "alpha", since=time.time())
    path, export = tmp_path / "receipt.json", tmp_path / "export.json"
    path.write_text(json.dumps(document))
    export.write_text(json.dumps(await cluster.nodes["alpha"].get(f"/streams/{cluster.raw}/export")))
    findings = verify_receipt(ReceiptOptions(path, None, (export,)))
    assert [finding for finding in findings if not finding.ok] == []
    assert {finding.name for finding in findings} >= {"signature", "stream", "writer"}
    for name in ("home", "alpha"):
        assert await cluster.nodes[name].alarms() == []
        export.write_text(json.dumps(await cluster.nodes[name].get(f"/streams/{cluster.raw}/export")))
        faults = [finding for finding in verify_export(VerifyOptions(export)) if not finding.ok]
        assert faults == [], "what is left is proven as before"


@pytest.mark.long
async def test_a_rotated_stream_goes_on_after_restarts_and_is_rotated_again(cluster: Cluster) -> None:
    before = await cluster.stream_at(cluster.home)
    await cluster.gateway.stop()
    await cluster.gateway.start()
    await cluster.flows("home", "alpha", since=time.time())
    assert (await cluster.stream_at(cluster.home))["writer"] == before["writer"]
    await cluster.home.post(f"/streams/{cluster.raw}/rotate")

    async def again() -> bool:
        return (await cluster.stream_at(cluster.home))["writer"] != before["writer"]

    await until("the stream has newer keys", again)
    await cluster.flows("home", "alpha")
    assert len({masters.to_bytes() for masters in _masters(cluster)}) == 2, "what the erasure left, and the newest"
    sid = bytes.fromhex(cluster.raw[2:])

    await commits_agree(cluster, cluster.raw)
    assert len(envelopes_of(cluster.wire.heard, sid)) > 0


async def test_only_the_owner_rotates(cluster: Cluster) -> None:
    for node in (cluster.gateway, cluster.nodes["alpha"]):
        with pytest.raises(Refusal) as refused:
            await node.post(f"/streams/{cluster.raw}/rotate")
        assert refused.value.status == 403
    with pytest.raises(Refusal) as unknown:
        await cluster.home.post(f"/streams/0x{'11' * 32}/rotate")
    assert unknown.value.status == 404
