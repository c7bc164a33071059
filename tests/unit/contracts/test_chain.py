"""The artifact and the bindings against a real EVM: deployment, views, events, reverts, batches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from web3.exceptions import ContractCustomError
from web3.types import TxReceipt

from contracts import DEPLOYMENT_PROXY, PROXY_RUNTIME_CODE, deployment_call, verify_runtime_code
from contracts.bindings import consent_registry as registry
from contracts.calls import grant_call, granted_terms, revoke_call
from scripts.measure_gas import Bench, Story, anvil, raw

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with anvil() as web3:
        yield Story(Bench(web3))


def ask(story: Story, data: bytes) -> bytes:
    return bytes(story.bench.web3.eth.call({"to": to_checksum_address(story.bench.address), "data": data}))


def events(receipt: TxReceipt) -> list[registry.Event]:
    return [
        registry.decode_log([bytes(topic) for topic in log["topics"]], bytes(log["data"])) for log in receipt["logs"]
    ]


def refusal(story: Story, data: bytes) -> str:
    with pytest.raises(ContractCustomError) as caught:
        ask(story, data)
    return registry.decode_error(bytes.fromhex(str(caught.value.data).removeprefix("0x"))).name


def test_anvil_is_born_with_the_deployment_proxy(story: Story) -> None:
    code = story.bench.web3.eth.get_code(to_checksum_address(DEPLOYMENT_PROXY))
    assert bytes(code) == PROXY_RUNTIME_CODE


def test_the_code_at_the_address_is_ours(story: Story) -> None:
    call = deployment_call()
    verify_runtime_code(bytes(story.bench.web3.eth.get_code(to_checksum_address(call.address))))
    domain = registry.decode_eip712_domain(ask(story, registry.encode_eip712_domain()))
    assert domain[1:5] == ("Wattpact ConsentRegistry", "1", story.bench.web3.eth.chain_id, call.address)


def test_a_second_deployment_finds_the_first(story: Story) -> None:
    """The proxy cannot put anything else there: sending again fails and changes nothing."""
    call = deployment_call()
    sender = story.bench.account("relay")
    with pytest.raises(SystemExit):
        story.bench.send(call.data, sender, to=call.to)
    verify_runtime_code(bytes(story.bench.web3.eth.get_code(to_checksum_address(call.address))))


def test_events_views_and_reverts_of_a_real_chain(story: Story) -> None:
    bench = story.bench
    sid, _ = story.stream("chain")
    stream = registry.decode_streams(ask(story, registry.encode_streams(sid)))
    assert (stream.owner, stream.writer, stream.slot_seconds) == (raw(story.owner), raw(story.writer), 900)

    m = story.make_grant([sid])
    data = grant_call(m, bench.sign(story.owner, m))
    assert data[:4] == registry.encode_grant_short(registry.ShortGrant(0, 0, sid, sid, 0, sid, sid), [])[:4]
    (granted,) = events(bench.send(data))
    assert isinstance(granted, registry.Granted)
    assert granted == registry.Granted(
        story.grant_id(m), m.owner, m.reader, m.reader_key_hash, m.text_hash, granted.terms, (sid,)
    )
    assert granted_terms(granted) == (m.start, m.end, m.purpose_tag)
    assert registry.decode_is_live(ask(story, registry.encode_is_live(granted.grant_id, sid, m.start)))
    assert registry.decode_nonce_used(ask(story, registry.encode_nonce_used(m.owner, m.nonce)))
    assert refusal(story, data) == "NonceUsed"

    r = registry.Revoke(m.reader, granted.grant_id, sid)
    assert refusal(story, registry.encode_revoke(r, bench.sign(story.owner, r))) == "WrongSigner"
    (revoked,) = events(bench.send(registry.encode_revoke(r, bench.sign(story.reader, r))))
    assert revoked == registry.Revoked(granted.grant_id, m.reader, sid)
    assert not registry.decode_is_live(ask(story, registry.encode_is_live(granted.grant_id, sid, m.start)))
    assert refusal(story, registry.encode_commit(registry.StreamCommit(sid, 2, sid), b"")) == "EpochNotNext"


def every_call(story: Story) -> tuple[list[bytes], list[bytes]]:
    """One call of each kind that all succeed in this order, and the stream and device hash that they name."""
    bench, owner, writer, heir = story.bench, story.owner, story.writer, story.bench.account("heir")
    device, salt = bench.account("device"), keccak(text="salt")
    sid, _ = story.stream("batch")
    chain, at = bench.web3.eth.chain_id.to_bytes(32, "big"), bench.address.rjust(32, b"\0")
    name_hash = keccak(text="another")
    other = keccak(chain + at + raw(owner).rjust(32, b"\0") + name_hash)
    device_hash = keccak(salt + raw(owner).rjust(32, b"\0") + raw(device).rjust(32, b"\0"))

    def nonce() -> int:
        return bench.nonce(owner)

    stream = registry.RegisterStream(raw(owner), name_hash, raw(writer), salt, 0, 60, nonce(), story.deadline)
    change = registry.SetWriter(raw(owner), other, raw(heir), salt, nonce(), story.deadline)
    pair = registry.PairDevice(raw(owner), device_hash, nonce(), story.deadline)
    unpair = registry.UnpairDevice(raw(owner), device_hash, (other,), nonce(), story.deadline)
    grant = story.make_grant([sid])
    key = registry.RegisterKey(raw(story.reader), story.grant_id(grant), salt, 99, story.deadline)
    commit = registry.StreamCommit(sid, 1, salt)
    revoke = registry.Revoke(raw(owner), story.grant_id(grant), bytes(32))
    transfer = registry.TransferStream(raw(owner), raw(heir), sid, nonce(), story.deadline)
    items = [
        registry.encode_register_stream(stream, bench.sign(owner, stream), bench.sign(writer, stream)),
        registry.encode_set_writer(change, bench.sign(owner, change), bench.sign(heir, change)),
        registry.encode_pair_device(pair, raw(device), salt, bench.sign(owner, pair), bench.sign(device, pair)),
        registry.encode_unpair_device(unpair, bench.sign(owner, unpair)),
        grant_call(grant, bench.sign(owner, grant)),
        registry.encode_register_key(key, sid, bench.sign(story.reader, key)),
        registry.encode_commit(commit, bench.sign(writer, commit)),
        revoke_call(revoke, bench.sign(owner, revoke)),
        registry.encode_transfer_stream(transfer, bench.sign(owner, transfer), bench.sign(heir, transfer)),
    ]
    return items, [sid, other, device_hash]


def test_a_batch_takes_every_call(story: Story) -> None:
    items, (sid, other, device_hash) = every_call(story)
    happened = events(story.bench.send(registry.encode_batch(items)))
    assert [type(event).__name__ for event in happened] == [
        "StreamRegistered",
        "WriterSet",
        "DevicePaired",
        "WriterSet",
        "DeviceUnpaired",
        "Granted",
        "KeyRegistered",
        "Committed",
        "Revoked",
        "StreamTransferred",
    ]
    assert happened[3] == registry.WriterSet(other, bytes(20), bytes(32))
    assert isinstance(happened[2], registry.DevicePaired)
    assert happened[2].device_hash == device_hash
    assert isinstance(happened[7], registry.Committed)
    assert happened[7].sid == sid

    # The same batch again: every one is refused by itself, except the revocation, which may come as often as it likes.
    again = events(story.bench.send(registry.encode_batch(items)))
    names = [registry.error_name(event.code) for event in again if isinstance(event, registry.Rejected)]
    assert names == [
        "StreamExists",
        "NonceUsed",
        "NonceUsed",
        "NotPaired",
        "NonceUsed",
        "GrantNotStanding",
        "EpochNotNext",
        "NotStreamOwner",
    ]
    assert len(again) == 8
