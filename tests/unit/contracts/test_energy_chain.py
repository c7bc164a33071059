"""EnergyToken and DevToken on a real EVM through the bindings: deployment with a registrar, readings, claims, words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_utils.address import to_checksum_address
from web3.exceptions import ContractCustomError
from web3.types import TxReceipt

from contracts import deployment_call, verify_runtime_code
from contracts.artifact import ENERGY, MONEY
from contracts.bindings import dev_token, energy_token
from contracts.readings import pack_reading
from keys import messages as m
from keys.p256 import P256Key
from scripts.measure_gas.bench import Bench, anvil, raw
from scripts.measure_gas.energy import SHARES, Community

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def community() -> Iterator[Community]:
    with anvil() as web3:
        found = Community(web3)
        found.register_all(range(2))
        yield found


def ask(community: Community, data: bytes) -> bytes:
    bench = community.bench
    return bytes(bench.web3.eth.call({"to": to_checksum_address(bench.address), "data": data}))


def events(receipt: TxReceipt) -> list[energy_token.Event]:
    return [
        energy_token.decode_log([bytes(topic) for topic in log["topics"]], bytes(log["data"]))
        for log in receipt["logs"]
    ]


def test_the_registrar_is_part_of_the_address(community: Community) -> None:
    registrar = raw(community.registrar)
    call = deployment_call(ENERGY, arguments=energy_token.encode_constructor(registrar))
    assert call.address == community.bench.address
    assert deployment_call(ENERGY, arguments=energy_token.encode_constructor(b"\x01" * 20)).address != call.address
    verify_runtime_code(bytes(community.bench.web3.eth.get_code(to_checksum_address(call.address))), ENERGY)
    assert energy_token.decode_registrar(ask(community, energy_token.encode_registrar())) == registrar
    domain = energy_token.decode_eip712_domain(ask(community, energy_token.encode_eip712_domain()))
    assert domain[1:5] == ("Wattpact EnergyToken", "1", community.bench.web3.eth.chain_id, call.address)


def test_a_reading_becomes_energy_and_is_claimed(community: Community) -> None:
    community.tick()
    reading = community.reading(0)
    receipt = community.bench.send(energy_token.encode_mint_reading(reading, community.sign(community.device, reading)))
    made = energy_token.Produced(0, reading.index, reading.counter_wh, reading.meter_time)
    assert events(receipt) == [made]
    minted = (reading.counter_wh - 1_000_000) * 1_000
    assert energy_token.decode_total_supply(ask(community, energy_token.encode_total_supply())) == minted
    owner = raw(community.owner)
    claimable = energy_token.decode_claimable(ask(community, energy_token.encode_claimable(0, owner)))
    assert minted - 1 <= claimable <= minted
    receipt = community.bench.send(energy_token.encode_claim_energy(m.ClaimEnergy(owner, 0)))
    assert events(receipt) == [energy_token.Transfer(bytes(20), owner, claimable)]
    assert energy_token.decode_balance_of(ask(community, energy_token.encode_balance_of(owner))) == claimable
    position = energy_token.decode_position_of(ask(community, energy_token.encode_position_of(0, owner)))
    source = energy_token.decode_source_of(ask(community, energy_token.encode_source_of(0)))
    assert (position.shares, position.paid) == (SHARES, source.accumulated)
    shares = energy_token.decode_share_balance_of(ask(community, energy_token.encode_share_balance_of(owner, 0)))
    assert shares == SHARES


def test_a_refused_reading_is_named_by_its_digest(community: Community) -> None:
    community.tick()
    good, bad = community.reading(0), community.reading(1)
    packed = pack_reading(bad, community.sign(community.owner, bad))
    packed += pack_reading(good, community.sign(community.device, good))
    refused, produced = events(community.bench.send(energy_token.encode_submit_readings(packed)))
    assert isinstance(refused, energy_token.Rejected)
    assert refused.digest == m.digest(bad, community.domain)
    assert energy_token.error_name(refused.code) == "NotTheDevice"
    assert isinstance(produced, energy_token.Produced)


def test_a_refusal_is_told_in_words(community: Community) -> None:
    data = energy_token.encode_mint_reading(m.Reading(9, 1, 2, 3), bytes(65))
    with pytest.raises(ContractCustomError) as caught:
        ask(community, data)
    error = energy_token.decode_error(bytes.fromhex(str(caught.value.data).removeprefix("0x")))
    assert (error.name, error.arguments) == ("NotTheDevice", {"source": 9})
    assert error.notice == "The signature is not one of the source's present device."


def test_the_digest_of_an_item_is_that_of_the_message(community: Community) -> None:
    message = community.registration(77)
    item = energy_token.encode_register_source(message, b"", b"", b"")
    answer = energy_token.decode_digest_of(ask(community, energy_token.encode_digest_of(item)))
    assert answer == m.digest(message, community.domain)


def test_a_device_signs_by_p256_with_the_keys_package(community: Community) -> None:
    assert energy_token.decode_verifies_p256(ask(community, energy_token.encode_verifies_p256()))
    key = P256Key(0xF1D0)
    message = community.registration(50, key.address)
    community.bench.send(community.register(message, key.sign(m.digest(message, community.domain))))
    community.tick()
    reading = community.reading(50)
    packed = pack_reading(reading, key.sign(m.digest(reading, community.domain)))
    (made,) = events(community.bench.send(energy_token.encode_submit_readings(packed)))
    assert isinstance(made, energy_token.Produced)


def test_dev_tokens_are_anybodys_to_make() -> None:
    with anvil() as web3:
        bench = Bench(web3, MONEY)
        someone = raw(bench.account("someone"))
        receipt = bench.send(dev_token.encode_mint(someone, 5_000_000))
        (log,) = receipt["logs"]
        made = dev_token.decode_log([bytes(topic) for topic in log["topics"]], bytes(log["data"]))
        assert made == dev_token.Transfer(bytes(20), someone, 5_000_000)
