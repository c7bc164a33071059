"""What readings, claims and the other messages of the EnergyToken cost.

The batch takes 300 readings of 300 sources, so that every slot is cold. The shareholders of source 0 grow in number; a
reading touches none of them, and the rows show it. Powers are set so high that they bind nothing: the times are
those of the measurement.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32
from eth_utils.crypto import keccak
from web3 import Web3

from contracts.bindings import energy_token as energy
from contracts.readings import pack_reading
from keys import messages as m
from keys.p256 import P256Key
from scripts.measure_gas.bench import GENESIS, ROOT, Bench, Row, anvil, raw

__all__ = ["Community", "measure_energy", "spreader_code"]

IDA = "Superfluid IDA distribute 223,940; a loop over holders 8,300 each"
IDA_CLAIM = "Superfluid IDA claim 153,134"
BATCH = 300
P256_BATCH = 50
HOLDERS = (1, 100, 10_000)
SHARES = 1_000_000
STEP = 100_000
SPREAD_AT_ONCE = 1_500
CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def spreader_code() -> bytes:
    """Compile the helper that hands out shares."""
    packages = "node_modules/@openzeppelin/contracts"
    names = ["contracts/test/mocks/Spreader.sol", f"{packages}/interfaces/IERC6909.sol"]
    names.append(f"{packages}/utils/introspection/IERC165.sol")
    request = {
        "language": "Solidity",
        "sources": {name: {"content": (ROOT / name).read_text()} for name in names},
        "settings": {
            "remappings": ["@openzeppelin/contracts/=node_modules/@openzeppelin/contracts/"],
            "outputSelection": {names[0]: {"Spreader": ["evm.bytecode.object"]}},
        },
    }
    run = subprocess.run(
        [ROOT / "scripts" / "solc"], input=json.dumps(request), capture_output=True, text=True, check=True
    )
    made = json.loads(run.stdout)["contracts"][names[0]]["Spreader"]
    return bytes.fromhex(made["evm"]["bytecode"]["object"])


@dataclass
class Community:
    """A token, its people and its sources; `step` counts the readings so far, each `STEP` seconds after the last."""

    web3: Web3
    step: int = 0
    bench: Bench = field(init=False)
    domain: m.Domain = field(init=False)

    def __post_init__(self) -> None:
        """Deploy, and fund the accounts."""
        registrar: LocalAccount = Account.from_key(keccak(text="gas registrar"))
        self.bench = Bench(self.web3, "EnergyToken", energy.encode_constructor(raw(registrar)))
        self.domain = m.energy_domain(self.web3.eth.chain_id, self.bench.address)
        self.owner, self.device = self.bench.account("owner"), self.bench.account("device")
        self.registrar, self.deadline = registrar, GENESIS + 10**9

    def sign(self, account: LocalAccount, message: m.Message) -> bytes:
        """Sign by digest: thousands of messages, and the encoder agrees with others by the shared vectors."""
        return bytes(account.unsafe_sign_hash(Hash32(m.digest(message, self.domain))).signature)

    def registration(self, source: int, device: bytes | None = None) -> m.RegisterSource:
        """Return the message that registers a source."""
        owner, nonce = raw(self.owner), self.bench.nonce(self.owner)
        return m.RegisterSource(
            source, owner, device or raw(self.device), 1_000_000, 2**48 - 1, SHARES, nonce, self.deadline
        )

    def register(self, message: m.RegisterSource, device_sig: bytes | None = None) -> bytes:
        """Return the calldata of a registration, signed."""
        by_device = device_sig or self.sign(self.device, message)
        signatures = self.sign(self.owner, message), by_device, self.sign(self.registrar, message)
        return energy.encode_register_source(message, *signatures)

    def register_all(self, sources: range) -> None:
        """Register many, in batches."""
        calls = [self.register(self.registration(source)) for source in sources]
        for at in range(0, len(calls), 40):
            self.bench.gas(energy.encode_batch(calls[at : at + 40]))

    def tick(self) -> None:
        """Let the next block be one step later, to the second, so that times have the same bytes in every run."""
        self.step += 1
        request: Any = "evm_setNextBlockTimestamp"
        self.web3.provider.make_request(request, [GENESIS + STEP * self.step])

    def reading(self, source: int) -> m.Reading:
        """Return the reading of a source for this step."""
        return m.Reading(source, 1_000 + self.step, 1_000_000 + 1_003 * self.step, GENESIS + STEP * self.step)

    def mint_one(self, source: int) -> int:
        """Mint by one reading; return the gas."""
        self.tick()
        reading = self.reading(source)
        return self.bench.gas(energy.encode_submit_readings(pack_reading(reading, self.sign(self.device, reading))))

    def mint_as_abi(self, source: int) -> int:
        """Mint by one reading in the function that takes one; return the gas."""
        self.tick()
        reading = self.reading(source)
        return self.bench.gas(energy.encode_mint_reading(reading, self.sign(self.device, reading)))

    def mint_batch(self, sources: range) -> int:
        """Mint by a reading of each source; return the gas of each."""
        self.tick()
        readings = [self.reading(source) for source in sources]
        data = b"".join(pack_reading(reading, self.sign(self.device, reading)) for reading in readings)
        return -(-self.bench.gas(energy.encode_submit_readings(data)) // len(sources))

    def spread(self, spreader: bytes, source: int, first: int, count: int) -> None:
        """Give a share each to made-up holders."""
        types = ["address", "address", "uint256", "uint160", "uint256"]
        selector = keccak(text="spread(address,address,uint256,uint160,uint256)")[:4]
        for at in range(first, first + count, SPREAD_AT_ONCE):
            many = min(SPREAD_AT_ONCE, first + count - at)
            values = [self.bench.address, raw(self.owner), source, 2**96 + at, many]
            self.bench.send(selector + encode(types, values), to=spreader, gas=58_000_000)


def measure_mints(community: Community) -> Iterator[Row]:
    """Measure readings while the shareholders grow."""
    bench = community.bench
    receipt = bench.send(spreader_code(), create=True)
    spreader = bytes.fromhex(str(receipt["contractAddress"])[2:])
    bench.gas(energy.encode_set_operator(spreader, True), community.owner)
    community.mint_batch(range(BATCH))
    holders, rows = 1, []
    for wanted in HOLDERS:
        community.spread(spreader, 0, holders, wanted - holders)
        holders = wanted
        named = f"{wanted:,} shareholder{'s' if wanted > 1 else ''}"
        rows.append(Row(f"mint by signed reading, single, {named}", community.mint_one(0), 41_000, IDA))
        each = community.mint_batch(range(BATCH))
        rows.append(Row(f"mint by signed reading, batch of {BATCH}, {named}, each", each, 20_000, IDA))
    yield from sorted(rows, key=lambda row: "batch" in row.name)
    yield Row("mint by signed reading, single, ABI-encoded", community.mint_as_abi(0))


def measure_claims(community: Community) -> Iterator[Row]:
    """Measure claims by the holder: the first, with no balance yet, and later ones."""
    claim = energy.encode_claim_energy(m.ClaimEnergy(raw(community.owner), 1))
    community.mint_one(1)
    yield Row("claim of kWh, first", community.bench.gas(claim, community.owner), 55_000, IDA_CLAIM)
    community.mint_one(1)
    yield Row("claim of kWh, steady", community.bench.gas(claim, community.owner), 37_000, IDA_CLAIM)
    sources = range(1, 11)
    community.mint_batch(sources)
    gas = community.bench.gas(energy.encode_claim_many(list(sources), raw(community.owner)))
    yield Row("claim of kWh from 10 sources, each", -(-gas // len(sources)))


def measure_messages(community: Community) -> Iterator[Row]:
    """Measure the rare messages, relayed."""
    bench, owner, source = community.bench, community.owner, BATCH
    community.tick()
    yield Row("register source, relayed", bench.gas(community.register(community.registration(source))))
    heir = raw(bench.account("heir"))
    for name in ("to a new holder", "both sides paid"):
        community.mint_one(source)
        move = m.TransferShares(raw(owner), heir, source, 10, bench.nonce(owner), community.deadline)
        gas = bench.gas(energy.encode_transfer_shares(move, community.sign(owner, move)))
        yield Row(f"transfer shares, relayed, {name}", gas)
    pause = m.PauseSource(raw(owner), source, True, bench.nonce(owner), community.deadline)
    yield Row("pause source, relayed", bench.gas(energy.encode_pause_source(pause, community.sign(owner, pause))))
    new = bench.account("new device")
    counter = community.reading(source).counter_wh
    reset = m.MeterReset(source, raw(owner), raw(new), 5_000, counter, 7, 9_000, bench.nonce(owner), community.deadline)
    signatures = [community.sign(account, reset) for account in (owner, new, community.registrar)]
    yield Row("reset meter with another device, relayed", bench.gas(energy.encode_reset_meter(reset, *signatures)))


def measure_p256() -> Iterator[Row]:
    """Measure readings by P-256, on a chain that has the precompile (EIP-7951)."""
    with anvil("--hardfork", "osaka") as web3:
        community = Community(web3)
        key = P256Key(int.from_bytes(keccak(text="gas p256"), "big") % CURVE_ORDER)
        for source in range(P256_BATCH):
            message = community.registration(source, key.address)
            community.bench.gas(community.register(message, key.sign(m.digest(message, community.domain))))
        for counted in (False, True):
            community.tick()
            readings = [community.reading(source) for source in range(P256_BATCH)]
            signatures = [key.sign(m.digest(reading, community.domain)) for reading in readings]
            packed = b"".join(map(pack_reading, readings, signatures))
            each = -(-community.bench.gas(energy.encode_submit_readings(packed)) // P256_BATCH)
            community.tick()
            reading = community.reading(0)
            data = energy.encode_submit_readings(pack_reading(reading, key.sign(m.digest(reading, community.domain))))
            single = community.bench.gas(data)
            if counted:  # the second time: the first one fills slots
                yield Row("mint by P-256 reading, single", single)
                yield Row(f"mint by P-256 reading, batch of {P256_BATCH}, each", each)


def measure_energy() -> list[Row]:
    """Run every message on fresh chains."""
    with anvil("--hardfork", "prague", "--gas-limit", "60000000") as web3:
        community = Community(web3)
        community.register_all(range(BATCH))
        rows = [*measure_claims(community), *measure_mints(community), *measure_messages(community)]
    return [*rows, *measure_p256()]
