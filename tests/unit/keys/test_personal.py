"""Words that a wallet signed (EIP-191 version 0x45)."""

from __future__ import annotations

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from keys.errors import SignatureError
from keys.personal import recover_personal

# web3.js 1.10, documentation of web3.eth.accounts.sign
SIGNED = bytes.fromhex(
    "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd"
    "6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c"
)
SIGNER = bytes.fromhex("2c7536e3605d9c16a7a3d7b1898e529396a65c23")


@pytest.mark.parametrize("text", ["", "Zähler ⚡", "a\nb" * 100])
def test_as_another_implementation_signs(text: str) -> None:
    """eth_account: the length is of bytes, not of letters."""
    account = Account.from_key(b"\x07" * 32)
    made = bytes(account.sign_message(encode_defunct(text=text)).signature)
    assert "0x" + recover_personal(text, made).hex() == account.address.lower()


def test_the_vector_of_web3js() -> None:
    assert recover_personal("Some data", SIGNED) == SIGNER
    assert recover_personal("Some data", SIGNED[:64] + b"\x01") == SIGNER, "v as some hardware writes it"
    assert recover_personal("Some date", SIGNED) != SIGNER


@pytest.mark.parametrize("bad", [b"", SIGNED[:64], SIGNED[:64] + b"\x1d", bytes(65), SIGNED + b"\x00"])
def test_what_is_no_signature(bad: bytes) -> None:
    with pytest.raises(SignatureError):
        recover_personal("Some data", bad)
