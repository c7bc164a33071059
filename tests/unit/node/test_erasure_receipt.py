"""The receipt of an erasure: whoever has it can check it, and nobody else than its signer can make or change it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keys.messages import parcel_domain
from keys.signers import LocalSigner
from node.app.commands.receipt import verify_receipt
from node.cli.factories import ReceiptOptions
from node.errors import Refused
from node.types import address_to_text
from node.wire.erasure import ErasedStream, ErasureReceipt, SignedReceipt, read_receipt, receipt_statement
from tests.unit.node.projection.kit import OWNER, address, h32

PROVIDER, OTHER = LocalSigner(b"\x01" * 32), LocalSigner(b"\x02" * 32)


async def signed(by: LocalSigner = PROVIDER) -> dict[str, Any]:
    receipt = ErasureReceipt(
        grant_id=h32("g"),
        chain_id=31337,
        registry=address("r"),
        owner=OWNER,
        reader=address("e"),
        account=PROVIDER.address,
        requested_by="owner",
        reason="moved out",
        requested_at=10,
        erased_at=20,
        reader_key_hash=h32("k"),
        text_hash=h32("t"),
        streams=(
            ErasedStream(
                sid=h32("s"),
                readings=3,
                envelopes=2,
                checkpoints=1,
                capsules=0,
                alarms=0,
                epoch=4,
                commit_hash=h32("c"),
            ),
        ),
    )
    signature = await by.sign_message(receipt_statement(receipt), parcel_domain(31337))
    found: dict[str, Any] = SignedReceipt(receipt=receipt, signature=signature).to_json()
    return found


async def test_a_receipt_is_read_by_whoever_has_it() -> None:
    document = await signed()
    receipt = read_receipt(json.dumps(document), PROVIDER.address)
    assert (receipt.streams[0].epoch, receipt.streams[0].commit_hash) == (4, h32("c"))


async def test_attack_nothing_in_it_can_be_changed() -> None:
    """Each field, one at a time; then a signature of somebody else, and a receipt of another account."""
    document = await signed()
    changed: dict[str, Any] = {
        "requested_by": "reader", "reason": "no reason", "chain_id": 1, "requested_at": 11, "erased_at": 21,
        **dict.fromkeys(("grant_id", "reader_key_hash", "text_hash"), "0x" + "22" * 32),
        **dict.fromkeys(("registry", "owner", "reader", "account"), "0x" + "22" * 20),
    }  # fmt: skip
    told = document["receipt"]
    assert set(told) - set(changed) == {"version", "streams"}
    for field, value in changed.items():
        with pytest.raises(Refused, match="not signed"):
            read_receipt({**document, "receipt": {**told, field: value}})
    for field, value in {"readings": 4, "envelopes": 0, "epoch": 3, "commit_hash": "0x" + "22" * 32}.items():
        streams = [{**told["streams"][0], field: value}]
        with pytest.raises(Refused, match="not signed"):
            read_receipt({**document, "receipt": {**told, "streams": streams}})
    with pytest.raises(Refused, match="not signed"):
        read_receipt(await signed(OTHER))
    with pytest.raises(Refused, match="another account"):
        read_receipt(document, OTHER.address)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"receipt": {}, "signature": "0x"}', "[" * 100_000])
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="no receipt"):
        read_receipt(text)


async def test_the_command_says_what_was_checked_and_what_was_not(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(await signed()))
    findings = verify_receipt(ReceiptOptions(path, address_to_text(PROVIDER.address)))
    assert all(finding.ok for finding in findings)
    assert "3 readings and 2 envelopes went; commit 4 stays" in findings[-1].detail
    assert "not compared with the chain" in findings[-1].detail
    assert not all(finding.ok for finding in verify_receipt(ReceiptOptions(path, address_to_text(OTHER.address))))
    path.write_text(json.dumps(await signed(OTHER)))
    assert [finding.ok for finding in verify_receipt(ReceiptOptions(path))] == [False]
