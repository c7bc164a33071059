"""The receipt of a stream's erasure (channels.md 4 rule 11): checked offline by whoever has it."""

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
from node.wire.past import PastReceipt, SignedPast, past_statement, read_past
from tests.unit.node.projection.kit import OWNER, address, h32

WRITER, OTHER = LocalSigner(b"\x01" * 32), LocalSigner(b"\x02" * 32)


async def signed(by: LocalSigner = WRITER, before: int | None = 1_767_225_600) -> dict[str, Any]:
    receipt = PastReceipt(
        erasure_id=h32("e"), sid=h32("s"), chain_id=31337, registry=address("r"), owner=OWNER, account=WRITER.address,
        reason="sold", before=before, requested_at=10, erased_at=20, epoch=4, before_slot=96, commit_hash=h32("c"),
        keys=1, copies=2, envelopes=7, checkpoints=3, capsules=2,
    )  # fmt: skip
    signature = await by.sign_message(past_statement(receipt), parcel_domain(31337))
    found: dict[str, Any] = SignedPast(receipt=receipt, signature=signature).to_json()
    return found


async def test_attack_nothing_in_it_can_be_changed() -> None:
    """channels.md 4 rule 11: each field, one at a time; then a signature of somebody else."""
    document = await signed()
    assert read_past(json.dumps(document)).before_slot == 96
    told = document["receipt"]
    changed: dict[str, Any] = {
        "reason": "", "before": None, **dict.fromkeys(("erasure_id", "sid", "commit_hash"), "0x" + "22" * 32),
        **dict.fromkeys(("registry", "owner", "account"), "0x" + "22" * 20),
        **{name: value + 1 for name, value in told.items() if isinstance(value, int) and name != "version"},
        "before_slot": 95,
    }  # fmt: skip
    assert set(told) - set(changed) == {"version"}
    for field, value in {**changed, "before": 1}.items():
        with pytest.raises(Refused, match="not signed"):
            read_past({**document, "receipt": {**told, field: value}})
    with pytest.raises(Refused, match="not signed"):
        read_past(await signed(OTHER))


@pytest.mark.parametrize("text", ["", "[]", "null", '{"receipt": {"before_slot": 1}}', "[" * 100_000])
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="no receipt"):
        read_past(text)


@pytest.mark.parametrize("before", [1_767_225_600, None])
async def test_the_same_command_checks_it(tmp_path: Path, before: int | None) -> None:
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(await signed(before=before)))
    findings = verify_receipt(ReceiptOptions(path, address_to_text(WRITER.address)))
    assert all(finding.ok for finding in findings)
    assert ("before 2026-01-01" in findings[1].detail) == (before is not None)
    assert "7 envelopes and 1 keys went, in 2 stores; commit 4 stays" in findings[-1].detail
    assert not all(finding.ok for finding in verify_receipt(ReceiptOptions(path, address_to_text(OTHER.address))))
    path.write_text(json.dumps(await signed(OTHER)))
    assert [finding.ok for finding in verify_receipt(ReceiptOptions(path))] == [False]
