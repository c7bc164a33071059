"""permissions.md 2: what a claim must hold, who may sign it, and what the home takes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.services.pairing import wire
from node.services.pairing.errors import (
    ForgedMessage,
    IllegalMove,
    MalformedMessage,
    PairingRefused,
)
from node.services.pairing.exchange import SharedKey
from node.services.pairing.gateway_machine import (
    MAX_DEADLINE,
)
from node.services.pairing.table import GatewayStatus
from tests.unit.services.pairing.builders import (
    DEADLINE,
    DEVICE,
    GATEWAY_ID,
    HOME_ID,
    NONCE,
    NOW,
    OWNER,
    PLACE,
    Gateway,
    claim,
    greet,
    home,
    meet,
)


async def sealed_claim(gateway: Gateway, **change: Any) -> bytes:
    """A claim as a home that knows the code could write it, with any content."""
    met = meet(gateway)
    message = home().propose(met.state, NONCE, DEADLINE)
    content = {
        "identity": wire.identity_document(HOME_ID),
        "nonce": wire.to_json(NONCE.to_bytes(32, "big")),
        "deadline": DEADLINE,
        "signature": wire.to_json(await OWNER.sign_message(message, PLACE.domain())),
        **change,
    }
    key = SharedKey(met.state.root, met.state.transcript)
    sealed = key.seal(b"home", met.state.bound, wire.pack_document(content), lambda n: bytes(n))
    return wire.frame(5, met.state.attempt, sealed=sealed)


async def test_the_handmade_claim_is_as_good_as_the_real_one() -> None:
    gateway = Gateway.fresh()
    assert gateway.answer("finish", await sealed_claim(gateway)).to_sign is not None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"deadline": NOW}, MalformedMessage),
        ({"deadline": NOW + MAX_DEADLINE + 1}, MalformedMessage),
        ({"deadline": -1}, MalformedMessage),
        ({"deadline": str(DEADLINE)}, MalformedMessage),
        ({"deadline": DEADLINE + 1}, ForgedMessage),
        ({"nonce": wire.to_json(bytes(32))}, ForgedMessage),
        ({"nonce": wire.to_json(bytes(31))}, MalformedMessage),
        ({"signature": wire.to_json(bytes(65))}, ForgedMessage),
        ({"signature": ""}, MalformedMessage),
        ({"signature": "?"}, MalformedMessage),
        ({"signature": wire.to_json(bytes(2049))}, MalformedMessage),
        ({"identity": None}, MalformedMessage),
        ({"identity": {}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "account": wire.to_json(DEVICE.address)}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "account": wire.to_json(b"\x07" * 20)}}, ForgedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "account": wire.to_json(bytes(20))}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "sealing_key": wire.to_json(bytes(1216))}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "inbox_url": "file:///x"}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "inbox_url": 5}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "label": "a\nb"}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "label": "x" * 81}}, MalformedMessage),
        ({"extra": 1}, MalformedMessage),
        ({"extra": [[[[[1]]]]]}, MalformedMessage),
    ],
)
async def test_claims_that_are_refused(change: dict[str, Any], error: type[PairingRefused]) -> None:
    gateway = Gateway.fresh()
    data = await sealed_claim(gateway, **change)
    outcome = gateway.answer("finish", data)
    assert isinstance(outcome.refusal, error)
    assert outcome.to_sign is None
    assert gateway.state.status is GatewayStatus.MEETING


async def test_a_contract_account_s_signature_is_left_to_the_chain() -> None:
    gateway = Gateway.fresh()
    data = await sealed_claim(gateway, signature=wire.to_json(b"\x01" * 200))
    assert gateway.answer("finish", data).to_sign is not None


async def test_the_device_signs_only_its_own_claim() -> None:
    gateway = Gateway.fresh()
    with pytest.raises(IllegalMove, match="nothing to sign"):
        gateway.machine.signed(gateway.state, bytes(65))
    claimed = await claim(gateway)
    waiting = gateway.answer("finish", claimed.message).raised()
    assert waiting.to_sign is not None
    for signature in (bytes(65), b"", await OWNER.sign_message(waiting.to_sign, PLACE.domain())):
        with pytest.raises(IllegalMove, match="not the device's signature"):
            gateway.machine.signed(gateway.state, signature)


async def test_the_home_does_not_take_another_signature() -> None:
    gateway = Gateway.fresh()
    claimed = await claim(gateway)
    gateway.answer("finish", claimed.message).raised()
    assert claimed.state.pairing is not None
    forged = await OWNER.sign_message(claimed.state.pairing.message, PLACE.domain())
    key = SharedKey(claimed.state.root, claimed.state.transcript)
    plain = wire.pack_document({"signature": wire.to_json(forged)})
    data = wire.frame(
        6, claimed.state.attempt, sealed=key.seal(b"device", claimed.state.bound, plain, lambda n: bytes(n))
    )
    outcome = home().received_finish(claimed.state, data)
    assert isinstance(outcome.refusal, ForgedMessage)


async def test_what_the_owner_signs_is_checked_before_it_leaves() -> None:
    met = meet(Gateway.fresh())
    message = home().propose(met.state, NONCE, DEADLINE)
    with pytest.raises(MalformedMessage, match="signature"):
        home().signed(met.state, message, b"")
    with pytest.raises(MalformedMessage, match="device"):
        home().signed(met.state, replace(message, device_hash=bytes(32)), bytes(65))
    with pytest.raises(MalformedMessage, match="owner"):
        home().signed(met.state, replace(message, owner=b"\x07" * 20), bytes(65))


def test_a_device_cannot_be_its_own_owner() -> None:
    gateway = Gateway.fresh(identity=replace(GATEWAY_ID, account=HOME_ID.account))
    greeted = greet(gateway)
    outcome = home().received_confirm(greeted.state, gateway.post("confirm", greeted.message))
    assert isinstance(outcome.refusal, MalformedMessage)
