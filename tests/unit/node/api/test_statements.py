"""Statements over HTTP: invoices, files in pieces, and an export that fails half-way is never taken for a whole one."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree

import aiohttp
import pytest

from node.services.settlement.lines import Delivery
from tests.unit.node.api.memory_settlement import ASSET, OTHER
from tests.unit.node.api.serving import served

SPAN = "from=0&to=2026-01-01T00:00:00Z"
PATH = "/api/v1/market/statement"


def some(count: int) -> list[Delivery]:
    return [
        Delivery(n.to_bytes(32, "big"), n * 900, n * 900 + 900, ASSET, OTHER, 500, 200, 480, 96) for n in range(count)
    ]


async def test_g8_invoices_of_a_period() -> None:
    async with served() as api:
        status, found, _ = await api.call("GET", f"{PATH}?{SPAN}&period=month&party=0x{OTHER.hex()}")
        assert (status, found["balance"]) == (200, 0)
        assert found["invoices"][0]["positions"][0] == {
            "carrier": "thermal", "kind": "energy", "owes": True, "lines": 1, "wh": 480, "amount": -96,
        }  # fmt: skip
        assert found["invoices"][0]["totals"] == [{"carrier": "thermal", "total": -96}]
        (query,) = api.settlement.statements.asked
        assert (query.start, query.end, query.party, query.period) == (0, 1_767_225_600, OTHER, "month")


async def test_a_statement_is_a_file_of_either_kind() -> None:
    async with served() as api:
        api.settlement.statements.deliveries = some(200)
        status, body, headers = await api.call("GET", f"{PATH}/export?{SPAN}")
        assert status == 200
        assert headers["Content-Type"] == "text/csv"
        assert headers["X-Statement-Contracts"] == "200"
        assert "attachment" in headers["Content-Disposition"]
        assert headers["Transfer-Encoding"] == "chunked"
        rows = list(csv.DictReader(io.StringIO(body.decode())))
        assert [row["kind"] for row in rows] == ["energy", "shortfall"] * 200
        status, body, headers = await api.call("GET", f"{PATH}/export?{SPAN}&format=xml")
        assert (status, headers["Content-Type"]) == (200, "application/xml")
        assert len([each for each in ElementTree.fromstring(body) if each.tag.endswith("}TimeSeries")]) == 400


async def test_invoices_are_files_of_either_kind() -> None:
    async with served() as api:
        status, body, headers = await api.call("GET", f"{PATH}/invoices?{SPAN}&period=month")
        assert (status, headers["Content-Type"]) == (200, "text/csv")
        (row,) = csv.DictReader(io.StringIO(body.decode()))
        assert (row["invoice"], row["side"], row["amount"], row["total"]) == ("17", "owes", "-96", "-96")
        assert (row["carrier"], row["carrier_total"]) == ("thermal", "-96")
        assert api.settlement.statements.asked[-1].period == "month"
        status, body, headers = await api.call("GET", f"{PATH}/invoices?{SPAN}&format=xml")
        assert (status, headers["Content-Type"]) == (200, "application/xml")
        assert b"<marketAgreement.mRID>17<" in body
        status, problem, _ = await api.call("GET", f"{PATH}/invoices?{SPAN}&format=pdf")
        assert (status, problem["field"]) == (422, "format")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=0", "to"), ("to=9", "from"), ("from=9&to=9", "to"), (f"{SPAN}&format=pdf", "format"),
        (f"{SPAN}&party=0x12", "party"), (f"{SPAN}&period=week", "period"),
    ],
)  # fmt: skip
async def test_senseless_questions_are_problems_with_the_field(query: str, field: str) -> None:
    async with served() as api:
        path = PATH if field == "period" else f"{PATH}/export"
        status, problem, headers = await api.call("GET", f"{path}?{query}")
        assert (status, problem["field"]) == (422, field)
        assert headers["Content-Type"].startswith("application/problem+json")
        assert api.settlement.statements.asked == []


async def test_an_export_that_fails_half_way_is_seen_by_every_client() -> None:
    """The status was 200 by then; only a connection without the last chunk tells."""
    async with served() as api:
        api.settlement.statements.deliveries, api.settlement.statements.fails = some(3), True
        with pytest.raises(aiohttp.ClientPayloadError):
            await api.call("GET", f"{PATH}/export?{SPAN}")


async def test_statements_need_a_token() -> None:
    async with served() as api:
        for path in (PATH, f"{PATH}/export"):
            status, _, _ = await api.call("GET", f"{path}?{SPAN}", token=None)
            assert status == 401
