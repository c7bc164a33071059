"""What a market reads off its projection for its desk: whose fault a refused match is."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from node.app.trading.matchfeed import named_in, names_somebody
from node.ledger import market as market_face
from node.ledger.reverts import Reason

ACCOUNT, ORDER = bytes(range(20)), bytes(range(32))


@pytest.mark.parametrize(
    ("signature", "values", "named"),
    [
        ("BalanceShort(address,uint256,uint256)", ["0x" + ACCOUNT.hex(), 5, 9], ACCOUNT),
        ("Excluded(address)", ["0x" + ACCOUNT.hex()], ACCOUNT),
        ("OrderCancelled(bytes32)", [ORDER], ORDER),
        ("OverFilled(bytes32,uint256)", [ORDER, 3], ORDER),
        ("WrongPartner(address)", ["0x" + ACCOUNT.hex()], None),
        ("TimeOutsideLimits()", [], None),
    ],
)
def test_the_contracts_own_words_name_who_waits(signature: str, values: list[object], named: bytes | None) -> None:
    """Read from the revert data of the contract's errors, in the words that the ledger makes of them."""
    types = [kind for kind in signature.partition("(")[2][:-1].split(",") if kind]
    found = market_face.market_face(1, b"\x05" * 20).reason(keccak(text=signature)[:4] + encode(types, values))
    assert found is not None
    assert named_in(str(found)) == named
    bare = str(Reason(found.name, (), found.notice))
    assert named_in(bare) is None
    assert names_somebody(bare) is (named is not None), "among others the chain keeps the name alone"


def test_a_sentence_that_only_looks_like_one_names_nobody() -> None:
    assert named_in("Excluded(account=0x1234)") is None
    assert named_in("") is None
