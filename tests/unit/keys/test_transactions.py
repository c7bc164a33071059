"""Our bytes of an EIP-1559 transaction are those of the general library."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SignerError
from keys.signers import LocalSigner
from node.types import address_to_text

KEY = b"\x42" * 32
TO = b"\x57" * 20
amount = st.integers(0, 2**96)


def transaction(**changes: Any) -> dict[str, Any]:
    plain = {
        "type": 2,
        "chainId": 31337,
        "nonce": 0,
        "to": address_to_text(TO),
        "data": b"",
        "value": 0,
        "gas": 21_000,
        "maxFeePerGas": 2,
        "maxPriorityFeePerGas": 1,
    }
    return plain | changes


@given(st.integers(0, 2**63), st.binary(max_size=300), amount, amount, amount)
async def test_the_bytes_are_those_of_the_library(nonce: int, data: bytes, value: int, fee: int, tip: int) -> None:
    made = transaction(nonce=nonce, data=data, value=value, maxFeePerGas=fee, maxPriorityFeePerGas=tip)
    assert await LocalSigner(KEY).sign_transaction(made) == bytes(Account.sign_transaction(made, KEY).raw_transaction)


async def test_other_kinds_still_go_through_the_library() -> None:
    legacy = {"nonce": 1, "to": address_to_text(TO), "value": 0, "gas": 21_000, "gasPrice": 7, "chainId": 1}
    created = transaction(data=b"\x00")
    del created["to"]
    for made in (legacy, created, transaction(accessList=[{"address": address_to_text(TO), "storageKeys": []}])):
        signed = await LocalSigner(KEY).sign_transaction(made)
        assert signed == bytes(Account.sign_transaction(made, KEY).raw_transaction)


@pytest.mark.parametrize("changes", [{"nonce": -1}, {"value": 2**256}, {"gas": "many"}, {"to": "0x1234"}])
async def test_what_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SignerError, match="cannot be signed"):
        await LocalSigner(KEY).sign_transaction(transaction(**changes))
