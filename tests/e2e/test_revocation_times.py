"""How long a revocation takes to act, twenty times over, in a network of real processes and seen from outside."""

from __future__ import annotations

import pytest

from scripts.benchmarks import network

pytestmark = [
    pytest.mark.long, pytest.mark.alone, pytest.mark.chain, pytest.mark.broker, pytest.mark.timeout(900),
]  # fmt: skip


def test_twenty_revocations_act_in_time() -> None:
    """From the signed Revoke in hand and from its block: 0.5 s to the last envelope under the old epoch, p95 2.5 s to
    the first under the new one."""
    rows = {row.name: row for row in network.measure()}
    bounds = {name: row.bound for name, row in rows.items()}
    assert bounds == {
        "revoke_signed_to_last_old_s": 0.5,
        "revoke_signed_to_first_new_p95_s": 2.5,
        "revoke_block_to_last_old_s": 0.5,
        "revoke_block_to_first_new_p95_s": 2.5,
    }
    assert [row for row in rows.values() if not row.ok] == []
