"""A bid manager of its own is spoken to over TLS or not at all (A-27)."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from node.app.trading.bidmanager import run_bids
from node.cli import BidsOptions
from node.config import BidsSettings, Listen
from node.errors import UsageError


def test_a27_no_address_in_clear_and_none_without_certificates() -> None:
    for wrong in ({"url": "http://bids.internal:8770", "tls": "tls"}, {"url": "https://bids.internal:8770"}):
        with pytest.raises(ValidationError):
            BidsSettings.model_validate(wrong)
    assert BidsSettings.model_validate({"url": "https://bids.internal:8770", "tls": "tls"}).manager == "bids"
    assert BidsSettings().url is None


@pytest.mark.parametrize("engine", ["continuous", "uniform_price"])
def test_a_bid_manager_takes_no_market_in_clear(tmp_path: Path, engine: str) -> None:
    with pytest.raises(UsageError):
        run_bids(BidsOptions(Listen("127.0.0.1", 0), tmp_path, "http://market.internal:1", engine))
