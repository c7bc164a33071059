"""What every message of the ConsentRegistry costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from contracts.bindings import consent_registry as registry
from contracts.calls import grant_call
from scripts.measure_gas.bench import GENESIS, Bench, Row, anvil, raw

__all__ = ["Story", "measure_registry"]

OPEN_END = 2**40 - 1
MANY = 100
STREAMR = "Streamr V5 StreamRegistry"


class Story:
    """One owner, one writer, some streams: the state in which messages are measured."""

    def __init__(self, bench: Bench) -> None:
        """Create the accounts."""
        self.bench = bench
        self.owner = bench.account("owner")
        self.writer = bench.account("writer")
        self.reader = bench.account("reader")
        self.deadline = GENESIS + 86_400

    def stream(self, name: str) -> tuple[bytes, int]:
        """Register a stream; return its id and the gas."""
        name_hash = keccak(text=name)
        m = registry.RegisterStream(
            owner=raw(self.owner),
            name_hash=name_hash,
            writer=raw(self.writer),
            stream_key_hash=keccak(text="stream key"),
            genesis=self.deadline - 172_800,
            slot_seconds=900,
            nonce=self.bench.nonce(self.owner),
            deadline=self.deadline,
        )
        data = registry.encode_register_stream(m, self.bench.sign(self.owner, m), self.bench.sign(self.writer, m))
        where = [self.bench.web3.eth.chain_id, self.bench.address, raw(self.owner), name_hash]
        sid = keccak(encode(["uint256", "address", "address", "bytes32"], where))
        return sid, self.bench.gas(data)

    def make_grant(self, sids: list[bytes], reader: LocalAccount | None = None) -> registry.Grant:
        """Return a grant of this owner, open-ended."""
        return registry.Grant(
            owner=raw(self.owner),
            reader=raw(reader or self.reader),
            reader_key_hash=keccak(text="reader key"),
            sids=tuple(sids),
            start=self.deadline - 86_400,
            end=OPEN_END,
            purpose_tag=7,
            text_hash=keccak(text="what was accepted"),
            nonce=self.bench.nonce(self.owner),
            deadline=self.deadline,
        )

    def grant_id(self, m: registry.Grant) -> bytes:
        """Return a grant's id as the registry computes it."""
        question = registry.encode_digest_of(registry.encode_grant(m, b""))
        answer = self.bench.web3.eth.call({"to": to_checksum_address(self.bench.address), "data": question})
        return registry.decode_digest_of(bytes(answer))

    def granted(self, sids: list[bytes]) -> bytes:
        """Record a grant and return its id."""
        m = self.make_grant(sids)
        self.bench.gas(registry.encode_grant(m, self.bench.sign(self.owner, m)))
        return self.grant_id(m)


def measure_streams(story: Story, sid: bytes) -> Iterator[Row]:
    """Measure commits, writers and transfers."""
    bench = story.bench
    for epoch, name, bound, direct in (
        (1, "commit, direct, first", None, True),
        (2, "commit, direct, second and later", 30_000, True),
        (3, "commit, relayed", 37_000, False),
    ):
        m = registry.StreamCommit(sid, epoch, keccak(text=f"commit {epoch}"))
        sig = b"" if direct else bench.sign(story.writer, m)
        gas = bench.gas(registry.encode_commit(m, sig), story.writer if direct else None)
        yield Row(name, gas, bound, "a flat rekey cannot fit one transaction beyond 358 readers")
    writer = bench.account("next writer")
    change = registry.SetWriter(
        raw(story.owner), sid, raw(writer), keccak(text="key"), bench.nonce(story.owner), story.deadline
    )
    signatures = bench.sign(story.owner, change), bench.sign(writer, change)
    yield Row("set writer, relayed", bench.gas(registry.encode_set_writer(change, *signatures)))
    heir = bench.account("heir")
    transfer = registry.TransferStream(raw(story.owner), raw(heir), sid, bench.nonce(story.owner), story.deadline)
    signatures = bench.sign(story.owner, transfer), bench.sign(heir, transfer)
    yield Row("transfer stream, relayed", bench.gas(registry.encode_transfer_stream(transfer, *signatures)))


def measure_devices(story: Story, sid: bytes) -> Iterator[Row]:
    """Measure pairing and unpairing."""
    bench, device, salt = story.bench, story.bench.account("device"), keccak(text="salt")
    device_hash = keccak(encode(["bytes32", "address", "address"], [salt, raw(story.owner), raw(device)]))
    pair = registry.PairDevice(raw(story.owner), device_hash, bench.nonce(story.owner), story.deadline)
    signatures = bench.sign(story.owner, pair), bench.sign(device, pair)
    yield Row("pair device, relayed", bench.gas(registry.encode_pair_device(pair, raw(device), salt, *signatures)))
    unpair = registry.UnpairDevice(raw(story.owner), device_hash, (sid,), bench.nonce(story.owner), story.deadline)
    gas = bench.gas(registry.encode_unpair_device(unpair, bench.sign(story.owner, unpair)))
    yield Row("unpair device with one stream, relayed", gas)


def measure_grants(story: Story, sids: list[bytes]) -> Iterator[Row]:
    """Measure grants, single and many."""
    bench = story.bench
    m = story.make_grant(sids[:1])
    gas = bench.gas(grant_call(m, bench.sign(story.owner, m)))
    yield Row("grant, relayed, nonce word in use", gas, 63_000, f"{STREAMR} 69,569 (direct)")
    m = story.make_grant(sids[:1])
    yield Row("grant, direct, nonce word in use", bench.gas(registry.encode_grant(m, b""), story.owner))
    m = story.make_grant(sids)
    gas = bench.gas(grant_call(m, bench.sign(story.owner, m)))
    yield Row(f"one grant over {MANY} streams, each", -(-gas // MANY), 25_700, f"{STREAMR} batch 37,866")
    items = []
    for index in range(MANY):
        m = story.make_grant(sids[:1], bench.account(f"reader {index}"))
        items.append(grant_call(m, bench.sign(story.owner, m)))
    gas = bench.gas(registry.encode_batch(items))
    yield Row(f"{MANY} signed grants in a batch, each", -(-gas // MANY), 39_000, f"{STREAMR} batch 37,866")


def measure_consent(story: Story, sids: list[bytes]) -> Iterator[Row]:
    """Measure revocations and reader keys."""
    bench, first, nothing = story.bench, sids[0], bytes(32)
    revoke: Callable[[bytes, bytes], registry.Revoke] = lambda grant_id, sid: registry.Revoke(  # noqa: E731
        raw(story.owner), grant_id, sid
    )
    m = revoke(story.granted([first]), first)
    gas = bench.gas(registry.encode_revoke_direct(m.grant_id, m.sid), story.owner)
    yield Row("revoke one stream, direct", gas, 24_500, f"{STREAMR} 48,578")
    m = revoke(story.granted([first]), first)
    gas = bench.gas(registry.encode_revoke(m, bench.sign(story.owner, m)))
    yield Row("revoke one stream, relayed", gas, 32_000)
    m = registry.Revoke(raw(story.reader), story.granted([first]), first)
    yield Row(
        "revoke one stream, by the reader, relayed", bench.gas(registry.encode_revoke(m, bench.sign(story.reader, m)))
    )
    m = revoke(story.granted(sids), nothing)
    gas = bench.gas(registry.encode_revoke(m, bench.sign(story.owner, m)))
    yield Row(f"one revoke over {MANY} streams, each", -(-gas // MANY), 6_300, f"{STREAMR} batch 15,862")
    m = revoke(story.granted([first]), nothing)
    yield Row("revoke all streams, direct", bench.gas(registry.encode_revoke_direct(m.grant_id, m.sid), story.owner))
    m = revoke(keccak(text="not known"), first)
    yield Row("revoke ahead of the grant, relayed", bench.gas(registry.encode_revoke(m, bench.sign(story.owner, m))))
    key = registry.RegisterKey(
        raw(story.reader), story.granted([first]), keccak(text="new key"), bench.nonce(story.reader), story.deadline
    )
    bench.gas(registry.encode_register_key(key, first, bench.sign(story.reader, key)))
    key = registry.RegisterKey(
        raw(story.reader), key.grant_id, keccak(text="newer key"), bench.nonce(story.reader), story.deadline
    )
    gas = bench.gas(registry.encode_register_key(key, first, bench.sign(story.reader, key)))
    yield Row("register reader key, relayed", gas)


def measure_registry() -> list[Row]:
    """Run every message on a fresh anvil."""
    with anvil("--hardfork", "prague", "--gas-limit", "60000000") as web3:
        story = Story(Bench(web3))
        sids: list[bytes] = []
        rows: list[Row] = []
        for index in range(MANY):
            sid, gas = story.stream(f"stream {index}")
            sids.append(sid)
            if index == 1:
                rows.append(Row("register stream, relayed", gas))
        rows.extend(measure_grants(story, sids))
        rows.extend(measure_consent(story, sids))
        rows.extend(measure_devices(story, sids[-1]))
        rows.extend(measure_streams(story, sids[0]))
        return rows
