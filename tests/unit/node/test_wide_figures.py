"""Energy and money beyond 53 bits, as money of 18 decimals has: parcels carry them as texts of digits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from keys.parcel import pack, unpack
from keys.sealing import SealingKey
from keys.signers import LocalSigner
from node.wire.assets import AssetConfig, TradeNotice
from node.wire.orderdetails import ConditionBody, OrderDetails
from node.wire.settlement import NetContractMade, NetLeftOut

A, B, H = b"\x0a" * 20, b"\x0b" * 20, b"\x0c" * 32
WH, PRICE, MONEY = 2**63 - 1, 2**80 - 1, 2**88 - 1
MADE = NetContractMade(
    operator=A, offer=H, request=H, seller=A, buyer=B, wh=WH, price=PRICE, start=900, end=1_800, nonce=H
)
LEFT = NetLeftOut(
    operator=A, period=1, block=1, leaf=H, request=H, seller=A, buyer=B, wh=WH, price=PRICE, amount=MONEY, owed=2**53
)
NOTICE = TradeNotice(contract=H, status="matched", seed_status="", wh=2**64 - 1, price=MONEY, due=MONEY, at=1)
CONFIG = AssetConfig(market="https://m.example", offer_price=PRICE, limit_price=2**53 - 1, min_offer_wh=WH)
DETAILS = OrderDetails(salt=H, conditions=(ConditionBody(price=MONEY, wh=2**64 - 1),))


@pytest.mark.parametrize("body", [MADE, LEFT, NOTICE, CONFIG, DETAILS])
async def test_a_parcel_brings_what_was_put_into_it(body: Any) -> None:
    key = SealingKey(b"\x21" * 32)
    raw = await pack(
        LocalSigner(b"\x02" * 32), key.public_bytes, "a.kind", body.to_json(), chain_id=7, now=9, lifetime=60
    )
    assert type(body).model_validate(unpack(key, raw, chain_id=7, now=9).body) == body


def test_what_53_bits_hold_is_a_number_as_before() -> None:
    assert json.loads(json.dumps(CONFIG.to_json()))["limit_price"] == 2**53 - 1
    assert LEFT.to_json()["owed"] == str(2**53)
    assert NetLeftOut.model_validate({**LEFT.to_json(), "owed": None}).to_json()["owed"] is None


@pytest.mark.parametrize("price", ["1.5", "-1", "1e3", " 1", "", "9" * 31, str(2**80), 1.0, True])
def test_an_assets_settings_take_digits_and_nothing_else(price: object) -> None:
    with pytest.raises(ValidationError):
        AssetConfig.model_validate({**CONFIG.to_json(), "offer_price": price})
