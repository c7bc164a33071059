"""Deterministic addresses (EIP-1014)."""

from __future__ import annotations

import pytest

from contracts import DEPLOYMENT_PROXY, create2_address, creation_code, deployment_call

# The examples of EIP-1014: deployer, salt, init code, address.
EXAMPLES = [
    ("00" * 20, "00" * 32, "00", "4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"),
    ("deadbeef" + "00" * 16, "00" * 32, "00", "B928f69Bb1D91Cd65274e3c79d8986362984fDA3"),
    ("deadbeef" + "00" * 16, "00" * 12 + "feed" + "00" * 18, "00", "D04116cDd17beBE565EB2422F2497E06cC1C9833"),
    ("00" * 20, "00" * 32, "deadbeef", "70f2b2914A2a4b783FaEFb75f459A580616Fcb5e"),
    ("00" * 16 + "deadbeef", "00" * 28 + "cafebabe", "deadbeef", "60f3f640a8508fC6a86d45DF051962668E1e8AC7"),
    ("00" * 20, "00" * 32, "", "E33C0C7F7df4809055C3ebA6c09CFe4BaF1BD9e0"),
]


@pytest.mark.parametrize(("factory", "salt", "code", "address"), EXAMPLES)
def test_the_examples_of_the_standard(factory: str, salt: str, code: str, address: str) -> None:
    raw = create2_address(bytes.fromhex(salt), bytes.fromhex(code), bytes.fromhex(factory))
    assert raw == bytes.fromhex(address)


def test_the_deployment_call_goes_to_the_proxy() -> None:
    call = deployment_call()
    assert call.to == DEPLOYMENT_PROXY
    assert call.data == bytes(32) + creation_code()
    assert call.address == create2_address(bytes(32), creation_code())
    assert deployment_call(salt=b"\x01" * 32).address != call.address


def test_constructor_arguments_follow_the_code_and_move_the_address() -> None:
    call = deployment_call("EnergyToken", arguments=b"\x05" * 32)
    assert call.data == bytes(32) + creation_code("EnergyToken") + b"\x05" * 32
    assert call.address == create2_address(bytes(32), creation_code("EnergyToken") + b"\x05" * 32)


def test_a_salt_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        create2_address(b"", b"")
