"""A market's signed no to an order (A-28): its operator's alone, for one order, on one chain."""

from __future__ import annotations

import json

import pytest

from keys.signers import LocalSigner
from node.errors import Refused
from node.wire.refusals import read_refusal, signed_refusal

OPERATOR, OTHER = LocalSigner(b"\x21" * 32), LocalSigner(b"\x22" * 32)
ORDER, CHAIN, NOW = b"\x07" * 32, 31337, 1_800_000_000
WHY = "The gate of this delivery is closed."


async def proof(signer: LocalSigner = OPERATOR, about: bytes = ORDER, why: str = WHY) -> dict[str, object]:
    found: dict[str, object] = json.loads(json.dumps((await signed_refusal(signer, about, why, CHAIN, NOW)).to_json()))
    return found


async def test_a28_what_the_operator_signed_is_believed() -> None:
    assert read_refusal(await proof(), ORDER, OPERATOR.address, CHAIN, NOW + 60) == WHY
    long = await proof(why="x" * 1_000)
    assert read_refusal(long, ORDER, OPERATOR.address, CHAIN, NOW) == "x" * 300


async def test_attack_somebody_else_refuses_it() -> None:
    """Signed by another market; for another order, also one called by this one's name; another chain; from before."""
    for forged in (await proof(OTHER), await proof(about=b"\x08" * 32), {**await proof(about=b"\x08" * 32),
                   "about": "0x" + ORDER.hex()}, {**await proof(), "reason": "sold out"}):  # fmt: skip
        with pytest.raises(Refused):
            read_refusal(forged, ORDER, OPERATOR.address, CHAIN, NOW)
    for chain, now in ((1, NOW), (CHAIN, NOW + 8 * 86_400)):
        with pytest.raises(Refused):
            read_refusal(await proof(), ORDER, OPERATOR.address, chain, now)


@pytest.mark.parametrize("strange", [None, "no", 7, [], {}, {"about": 1}, {"reason": "\ud800"}])
def test_attack_an_answer_without_a_proof_proves_nothing(strange: object) -> None:
    with pytest.raises(Refused):
        read_refusal(strange, ORDER, OPERATOR.address, CHAIN, NOW)


async def test_attack_a_reason_that_is_no_text() -> None:
    with pytest.raises(Refused):
        read_refusal({**await proof(), "reason": "\ud800"}, ORDER, OPERATOR.address, CHAIN, NOW)
