"""Details of an order and the nonce that commits to them (contracts.md, Privacy; G-5): salted, and signed."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak
from pydantic import ValidationError

from node.wire.orderdetails import ConditionBody, OrderDetails, new_salt

SALT = bytes(range(32))


def test_the_nonce_is_the_same_for_the_same_details_however_they_travel() -> None:
    details = OrderDetails(
        salt=SALT, area="DE-LU", energy="solar", conditions=(ConditionBody(areas=("DE-LU",), price=2**80),)
    )
    again = OrderDetails.model_validate_json(details.model_dump_json())
    assert details.nonce() == again.nonce() < 2**256
    text = (
        f'{{"area":"DE-LU","conditions":[{{"areas":["DE-LU"],"energies":[],"partners":[],"price":{2**80},"wh":null}}],'
        f'"energy":"solar","salt":"0x{SALT.hex()}"}}'
    )
    assert details.nonce() == int.from_bytes(keccak(b"wattpact order details 1\0" + text.encode()), "big")


@pytest.mark.parametrize(
    "changed",
    [
        {"salt": b"\x01" * 32},
        {"area": "south"},
        {"area": None},
        {"energy": "wind"},
        {"conditions": ()},
        {"conditions": (ConditionBody(areas=("north",), wh=6),)},
        {"conditions": (ConditionBody(energies=("north",), wh=5),)},
        {"conditions": (ConditionBody(areas=("north",), price=5),)},
    ],
)
def test_any_other_word_is_another_nonce(changed: dict[str, object]) -> None:
    details = OrderDetails(salt=SALT, area="north", energy="solar", conditions=(ConditionBody(areas=("north",), wh=5),))
    assert details.model_copy(update=changed).nonce() != details.nonce()


def test_two_equal_orders_do_not_look_alike() -> None:
    one, other = (OrderDetails(salt=new_salt(), area="north") for _ in range(2))
    assert one.nonce() != other.nonce()


@pytest.mark.parametrize(
    "bad",
    [
        {"area": "a b"},
        {"area": ""},
        {"area": "x" * 33},
        {"energy": "\u00e9"},
        {"salt": "0x00"},
        {"conditions": [{"wh": 0}]},
        {"conditions": [{"wh": -1}]},
        {"conditions": [{"price": -1}]},
        {"conditions": [{"price": 1.5}]},
        {"conditions": [{}] * 9},
        {"conditions": [{"areas": ["north"] * 17}]},
        {"else": 1},
    ],
)
def test_nonsense_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OrderDetails.model_validate({"salt": "0x" + SALT.hex(), **bad})
