"""Lines of one day, before they are netted: a batch holds no more than its requests ask for."""

from __future__ import annotations

from contracts.bindings import net_settlement as abi
from node.app.trading.netlines import StoredLine
from node.app.trading.netting import within_requests

A, B, ZERO = b"\x01" * 20, b"\x02" * 20, bytes(20)


def line(wh: int, *, nonce: int = 1, asked: int = 1_000, seller: bytes = B) -> StoredLine:
    request = abi.Order(A, ZERO, bytes(32), ZERO, ZERO, asked, 200, 100, 200, nonce, 300)
    return StoredLine(abi.Line(request, seller, wh, 200, wh // 5, b"\x01" * 65))


def by_leaf(*lines: StoredLine) -> dict[bytes, StoredLine]:
    return {each.leaf: each for each in lines}


def test_lines_that_came_at_once_do_not_exceed_their_request_together() -> None:
    """Attack: a debtor sends two lines of one request in the same moment, each within it, both together beyond it."""
    both = by_leaf(line(600), line(600, seller=b"\x03" * 20))
    kept = within_requests(both)
    assert len(kept) == 1
    assert kept.items() <= both.items()
    assert within_requests(dict(reversed(both.items()))) == kept, "whatever the order in which they came"


def test_what_fits_is_kept_and_other_requests_are_none_of_its_business() -> None:
    fitting = by_leaf(line(600), line(400, seller=b"\x03" * 20), line(1_000, nonce=2))
    assert within_requests(fitting) == fitting
    assert within_requests({}) == {}
