"""The REST interface over real sockets: access, problems, idempotency, description."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from node.api.handlers import OPERATIONS
from node.api.marketplace import MARKETPLACE
from node.api.operations import BinaryBody
from node.api.views import CheckView
from node.errors import ChainUnreachable
from tests.unit.node.api.memory_node import GRANT, NOW, SID, request
from tests.unit.node.api.serving import served, settings

SID_TEXT, GRANT_TEXT = "0x" + SID.hex(), "0x" + GRANT.hex()


def address(path: str) -> str:
    values = {"device": "0x" + "0d" * 20, "sid": SID_TEXT, "grant_id": GRANT_TEXT, "request_id": "req-1", "step": "1"}
    values |= {
        "token_id": "abc",
        "name": "billing",
        "webhook_id": "abc",
        "digest": GRANT_TEXT,
        "source": "7",
        "contract": GRANT_TEXT,
        "order": GRANT_TEXT,
        "job": "7-0",
    }
    return re.sub(r"{(\w+)}", lambda match: values[match[1]], path)


async def test_every_operation_asks_for_its_scope() -> None:
    """architecture.md, access: every call is authenticated; a lesser scope is refused, no token is not let in."""
    async with served() as api:
        _, read = await api.tokens.issue("r", frozenset({"read"}))
        _, consent = await api.tokens.issue("c", frozenset({"consent"}))
        _, events = await api.tokens.issue("e", frozenset({"events:read"}))
        _, hooks = await api.tokens.issue("w", frozenset({"webhooks:manage"}))
        scopes = {"read": read, "consent": consent, "events:read": events, "webhooks:manage": hooks}
        for operation in OPERATIONS:
            if operation.access in ("open", "local", "meter"):  # the meter's: tests/integration/test_marketplace.py
                continue
            path = address(operation.path)
            for token in (None, "wrong", "wattpact_" + "x" * 43):
                status, problem, headers = await api.call(operation.method, path, token=token)
                assert (status, problem["code"]) == (401, "unauthenticated"), operation.name
                assert headers["WWW-Authenticate"].startswith("Bearer")
                api.clock.advance(5)
            for name, token in scopes.items():
                allowed = operation.access == name or (operation.access, name) == ("read", "consent")
                status, problem, _ = await api.call(operation.method, path, token=token, json={})
                assert (status == 403) != allowed, (operation.name, name, status)
        assert api.node.granted  # what was allowed did reach the node


async def test_tokens_are_stored_hashed_end_and_can_be_revoked() -> None:
    """M-71: who may look and act shows a token of its own, with an end; revoking it is logging out for good."""
    async with served() as api:
        status, made, _ = await api.call(
            "POST", "/api/v1/tokens", json={"name": "app", "scopes": ["read"], "lifetime_s": 60}
        )
        assert status == 201
        (record,) = await api.tokens.records()
        assert made["token"].encode() not in record.digest
        _, listed, _ = await api.call("GET", "/api/v1/tokens")
        assert "token" not in listed["items"][0]
        assert (await api.call("GET", "/api/v1/status", token=made["token"]))[0] == 200
        api.clock.advance(60)
        status, problem, _ = await api.call("GET", "/api/v1/status", token=made["token"])
        assert (status, problem["detail"]) == (401, "The token has ended.")
        _, second, _ = await api.call("POST", "/api/v1/tokens", json={"name": "b", "scopes": ["consent"]})
        assert (await api.call("DELETE", f"/api/v1/tokens/{second['id']}"))[0] == 204
        assert (await api.call("GET", "/api/v1/status", token=second["token"]))[0] == 401
        assert (await api.call("DELETE", f"/api/v1/tokens/{second['id']}"))[0] == 404


async def test_a_new_local_token_ends_the_former() -> None:
    async with served() as api:
        assert (await api.call("GET", "/api/v1/tokens"))[0] == 200
        api.tokens.issue_local()
        assert (await api.call("GET", "/api/v1/tokens"))[0] == 401


async def test_reading_streams_and_pages() -> None:
    async with served() as api:
        _, streams, _ = await api.call("GET", "/api/v1/streams")
        assert streams["items"][0]["sid"] == SID_TEXT
        assert streams["items"][0]["owner"] == "0x" + "11" * 20
        path = f"/api/v1/streams/{SID_TEXT}/readings"
        _, page, _ = await api.call("GET", f"{path}?from={NOW}&to={NOW + 15}&limit=10")
        assert [item["time"] for item in page["items"]] == list(range(NOW, NOW + 10))
        _, rest, _ = await api.call("GET", f"{path}?from={NOW}&to={NOW + 15}&limit=10&cursor={page['next']}")
        assert len(rest["items"]) == 5
        assert rest["next"] is None
        for query, name in (
            ("from=x", "from"), ("limit=0", "limit"), ("limit=10001", "limit"), ("limit=٣", "limit"),
            ("to=2026-01-01T00:00:00", "to"), ("form=1", "form"), (f"from={2**40}", "from"), ("cursor=%00", "cursor"),
        ):  # fmt: skip
            status, problem, _ = await api.call("GET", f"{path}?{query}")
            assert (status, problem["field"]) == (422, name), query
        status, problem, _ = await api.call("GET", "/api/v1/streams/0x12/readings")
        assert (status, problem["field"]) == (422, "sid")
        assert (await api.call("GET", f"/api/v1/streams/0x{'00' * 32}"))[0] == 404


async def test_granting_in_part_and_with_a_wallet() -> None:
    async with served() as api:
        scope = {"streams": ["electricity/15min"], "end": NOW + 900}
        status, unsigned, _ = await api.call("POST", "/api/v1/requests/req-1/grant/unsigned", json=scope)
        assert status == 200
        assert unsigned["typed_data"]["message"]["end"] == NOW + 900
        body = {**scope, "external": {"signature": "0x" + "ab" * 65, "typed_data": unsigned["typed_data"]}}
        status, action, _ = await api.call("POST", "/api/v1/requests/req-1/grant", json=body)
        assert (status, action["digest"]) == (202, GRANT_TEXT)
        _, given, external = api.node.granted[0]
        assert given.streams == ("electricity/15min",)
        assert given.end == NOW + 900
        assert external is not None
        assert external.signature == b"\xab" * 65
        status, problem, _ = await api.call("POST", "/api/v1/requests/req-1/grant", json={})
        assert (status, problem["code"]) == (410, "gone")


async def test_revoking_one_stream_or_all() -> None:
    async with served() as api:
        path = f"/api/v1/consents/{GRANT_TEXT}/revoke"
        assert (await api.call("POST", path, json={"sid": SID_TEXT}))[0] == 202
        assert (await api.call("POST", path))[0] == 202
        assert [scope.sid for _, scope, _ in api.node.revoked] == [SID, None]


async def test_a_misspelled_limit_never_widens_a_consent() -> None:
    async with served() as api:
        status, problem, _ = await api.call("POST", "/api/v1/requests/req-1/grant", json={"untill": NOW + 1})
        assert (status, problem["field"]) == (422, "untill")
        status, problem, _ = await api.call(
            "POST", "/api/v1/requests/req-1/grant", json={"start": NOW, "end": NOW, "external": {"signature": "0x12"}}
        )
        assert status == 422
        assert [error["field"] for error in problem["errors"]] == ["external.signature"]
        assert not api.node.granted


async def test_what_is_wrong_with_a_request_is_said_of_its_field() -> None:
    async with served() as api:
        ask = {"home": "https://home.example", "streams": ["gas/1h"], "purpose": "x", "start": NOW}
        for wrong, field in (
            ({"end": NOW}, "end"), ({"start": None, "end": -1}, "end"), ({"streams": []}, "streams"),
            ({"streams": ["gas/1h", "gas/1h"]}, "streams"), ({"streams": ["gas/2h"]}, "streams.0"),
            ({"home": ""}, "home"), ({"purpose": "x" * 501}, "purpose"), ({"purpose_tag": 2**32}, "purpose_tag"),
        ):  # fmt: skip
            status, problem, _ = await api.call("POST", "/api/v1/requests", json={**ask, **wrong})
            assert (status, problem["field"]) == (422, field), wrong
            assert (problem["errors"][0]["field"], bool(problem["remedy"])) == (field, True)
        assert not api.node.asked


async def test_a_long_list_comes_page_by_page() -> None:
    async with served() as api:
        for number in range(1, 6):
            api.node.found[f"req-{number}"] = request(f"req-{number}")
        seen, query = list[str](), {"limit": "2"}
        while True:
            status, page, _ = await api.call("GET", "/api/v1/requests", params=query)
            assert status == 200
            assert len(page["items"]) <= 2
            seen += [each["id"] for each in page["items"]]
            if page["next"] is None:
                break
            query = {"limit": "2", "before": str(page["next"])}
        assert seen == [f"req-{number}" for number in range(5, 0, -1)]
        for wrong in ({"limit": "0"}, {"limit": "x"}, {"before": "-1"}):
            status, problem, _ = await api.call("GET", "/api/v1/requests", params=wrong)
            assert status == 422
            assert next(iter(wrong)) in problem["detail"]


async def test_every_error_is_a_problem() -> None:
    """RFC 9457 with code and remedy; the instance is the request id of the log."""
    async with served() as api:
        for method, path, status in (
            ("GET", "/nothing", 404), ("PUT", "/api/v1/status", 405), ("GET", "/api/v1/requests/none", 404),
        ):  # fmt: skip
            got, problem, headers = await api.call(method, path)
            assert got == status == problem["status"]
            assert headers["Content-Type"].startswith("application/problem+json")
            assert problem["type"] == f"urn:wattpact:problem:{problem['code']}"
            assert problem["remedy"]
            assert problem["instance"].endswith(headers["X-Request-ID"])
        api.node.failure = ChainUnreachable("No RPC node answers.")
        status, problem, _ = await api.call("GET", "/api/v1/status")
        assert (status, problem["code"]) == (503, "chain_unreachable")
        assert "rpc_urls" in problem["remedy"]


async def test_a_defect_of_ours_tells_nothing_of_the_inside() -> None:
    async with served() as api:
        api.node.broken = True
        status, problem, headers = await api.call("GET", "/api/v1/status")
        assert status == 500
        assert headers["Content-Type"].startswith("application/problem+json")
        assert problem["code"] == "failed"
        assert "private" not in json.dumps(problem)
        assert "ZeroDivision" not in json.dumps(problem)


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b'{"start": NaN}', b"[" * 100_000, b'{"a":' * 5_000])
async def test_bodies_that_are_no_object(body: bytes) -> None:
    async with served() as api:
        status, problem, _ = await api.call(
            "POST", "/api/v1/requests/req-1/grant", data=body, headers={"Content-Type": "application/json"}
        )
        assert status in (400, 422)
        assert problem["code"] in ("usage", "invalid_input")
        assert not api.node.granted


async def test_a_browser_form_cannot_act() -> None:
    """operations.md 4, test 27: no body type that a page may send across origins without asking."""
    async with served() as api:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            status, problem, headers = await api.call(
                "POST", "/api/v1/requests/req-1/grant", data=b"{}", headers={"Content-Type": kind}
            )
            assert (status, problem["code"]) == (415, "unsupported_media")
            assert "Access-Control-Allow-Origin" not in headers
        assert not api.node.granted


async def test_an_idempotency_key_acts_once() -> None:
    """operations.md 3, idempotency: same key, same answer; same key, other body, 409."""
    async with served() as api:
        ask = {"home": "https://home.example", "streams": ["gas/1h"], "purpose": "x"}
        key = {"Idempotency-Key": "a-unique-key-1"}
        first = await api.call("POST", "/api/v1/requests", json=ask, headers=key)
        again = await api.call("POST", "/api/v1/requests", json=ask, headers=key)
        assert first[:2] == again[:2]
        assert again[2]["Idempotency-Replayed"] == "true"
        assert len(api.node.asked) == 1
        status, problem, _ = await api.call("POST", "/api/v1/requests", json={**ask, "purpose": "y"}, headers=key)
        assert (status, problem["code"]) == (409, "conflict")
        _, other = await api.tokens.issue("c", frozenset({"consent"}))
        assert (await api.call("POST", "/api/v1/requests", json=ask, headers=key, token=other))[0] == 201
        assert len(api.node.asked) == 2
        status, problem, _ = await api.call("POST", "/api/v1/requests", json=ask, headers={"Idempotency-Key": "short"})
        assert (status, problem["field"]) == (422, "Idempotency-Key")
        api.clock.advance(8 * 86_400)
        assert (await api.call("POST", "/api/v1/requests", json=ask, headers=key))[0] == 201
        assert len(api.node.asked) == 3


async def test_equal_calls_at_one_time_act_once() -> None:
    async with served() as api:
        ask = {"home": "https://home.example", "streams": ["gas/1h"], "purpose": "x"}
        key = {"Idempotency-Key": "a-unique-key-2"}
        answers = await asyncio.gather(
            *(api.call("POST", "/api/v1/requests", json=ask, headers=key) for _ in range(10))
        )
        assert {status for status, _, _ in answers} <= {201, 409}
        assert len(api.node.asked) == 1


async def test_a_failure_of_the_world_frees_the_key_and_a_refusal_keeps_it() -> None:
    async with served() as api:
        key = {"Idempotency-Key": "a-unique-key-3"}
        path = "/api/v1/requests/req-1/grant"
        api.node.failure = ChainUnreachable("down")
        assert (await api.call("POST", path, json={}, headers=key))[0] == 503
        api.node.failure, api.node.broken = None, True
        assert (await api.call("POST", path, json={}, headers=key))[0] == 500
        api.node.broken = False
        assert (await api.call("POST", path, json={}, headers=key))[0] == 202
        refused = {"Idempotency-Key": "a-unique-key-4"}
        assert (await api.call("POST", path, json={}, headers=refused))[0] == 410
        status, _, headers = await api.call("POST", path, json={}, headers=refused)
        assert (status, headers["Idempotency-Replayed"]) == (410, "true")


async def test_a_tokens_text_is_never_kept_for_replay() -> None:
    async with served() as api:
        key = {"Idempotency-Key": "a-unique-key-5"}
        made = [await api.call("POST", "/api/v1/tokens", json={"name": "a", "scopes": ["read"]}, headers=key)] * 1
        made.append(await api.call("POST", "/api/v1/tokens", json={"name": "a", "scopes": ["read"]}, headers=key))
        assert made[0][1]["token"] != made[1][1]["token"]


async def test_inbox_and_pairing_take_bytes_without_a_token() -> None:
    async with served(settings(max_parcel_bytes=1_024, open_calls_per_minute=30)) as api:
        binary = {"Content-Type": BinaryBody}
        status, body, _ = await api.call("POST", "/api/v1/inbox", token=None, data=b"parcel", headers=binary)
        assert (status, body) == (202, b"")
        assert api.node.parcels == [(b"parcel", "127.0.0.1")]
        status, body, _ = await api.call("POST", "/pairing/v1/start", token=None, data=b"m", headers=binary)
        assert (status, body) == (200, b"answer to m")
        status, card, _ = await api.call("GET", "/.well-known/wattpact.json", token=None)
        assert (status, card) == (200, {"name": "House 7"})


async def test_health_shows_no_ids_and_no_details() -> None:
    """architecture.md, access: health, readiness and metrics expose no ids. operations.md F15: readiness from facts."""
    async with served() as api:
        assert (await api.call("GET", "/livez", token=None))[1] == {"status": "alive"}
        api.node.checks = (CheckView(name="chain", ok=False, detail=f"stuck at {SID_TEXT}"),)
        status, body, _ = await api.call("GET", "/readyz", token=None)
        assert (status, body) == (503, {"status": "not ready", "checks": {"chain": False}})
        status, body, _ = await api.call("GET", "/api/v1/readiness")
        assert status == 503
        assert SID_TEXT in body["checks"][0]["detail"]
        api.node.failure = ChainUnreachable("down")
        status, body, _ = await api.call("GET", "/readyz", token=None)
        assert (status, body["status"]) == (503, "not ready")
        await api.call("GET", f"/api/v1/streams/{SID_TEXT}")
        status, text, _ = await api.call("GET", "/metrics", token=None)
        assert status == 200
        assert b"wattpact_api_requests_total" in text
        assert SID_TEXT.encode() not in text


async def test_nothing_is_stored_or_framed() -> None:
    async with served() as api:
        for path in ("/api/v1/status", "/livez", "/nothing"):
            headers = (await api.call("GET", path))[2]
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


async def test_the_description_is_valid_and_complete() -> None:
    """OpenAPI 3.1 made from the models; every route of the interface is in it."""
    async with served() as api:
        status, document, _ = await api.call("GET", "/api/v1/openapi.json", token=None)
        assert status == 200
        OpenAPIV31SpecValidator(document).validate()
        names = {o["operationId"] for path in document["paths"].values() for o in path.values()}
        assert names == {operation.name for operation in OPERATIONS}
        for operation in OPERATIONS:
            described = document["paths"][operation.path][operation.method.lower()]
            optional: list[dict[str, list[str]]] = (
                [{}, {"bearer": []}] if operation.access == "meter" else [{"bearer": []}]
            )
            assert described["security"] == ([] if operation.access in ("open", "local") else optional)
            refusal = "/NoSuccess" if operation.path in MARKETPLACE else "/Problem"
            assert described["responses"]["default"]["$ref"].endswith(refusal)
        text = json.dumps(document)
        for reference in re.findall(r'"#/components/schemas/([^"]+)"', text):
            assert reference in document["components"]["schemas"]


async def test_the_documentation_loads_from_this_node_only() -> None:
    """architecture.md, dependencies: assets vendored, no CDN at run time."""
    async with served() as api:
        status, page, headers = await api.call("GET", "/api/v1/redoc", token=None)
        assert status == 200
        assert not re.search(rb'(src|href|url)="?(https?:)?//', page)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        status, script, headers = await api.call("GET", "/api/v1/redoc.standalone.js", token=None)
        assert status == 200
        assert headers["Content-Type"].startswith("text/javascript")
        assert len(script) > 500_000


async def test_a_transaction_is_cancelled_by_its_digest_with_the_admin_scope() -> None:
    async with served() as api:
        path = f"/api/v1/transactions/{GRANT_TEXT}/cancel"
        _, reader = await api.tokens.issue("reader", frozenset({"read", "consent"}))
        status, _, _ = await api.call("POST", path, token=reader)
        assert status == 403
        assert api.node.cancelled == []
        status, body, _ = await api.call("POST", path)
        assert (status, body["id"]) == (202, "tx-1")
        assert api.node.cancelled == [GRANT]


async def test_a_curve_has_a_limit_of_steps() -> None:
    """A picture of a day in one answer; more than a few hundred steps are refused before anything is read."""
    async with served() as api:
        path = f"/api/v1/streams/{SID_TEXT}/curve"
        status, found, _ = await api.call("GET", f"{path}?from=0&to=86400")
        assert (status, len(found["items"]), found["step"]) == (200, 96, 900)
        assert found["items"][1] == {
            "start": 900,
            "readings": 1,
            "values": {"interval_import_wh": {"count": 1, "first": 1, "last": 1, "low": 1, "high": 1, "sum": 1}},
        }
        long = "from=0&to=9999999&step=90000"
        for query in ("from=0&to=86400&step=59", "from=0&to=400000", "from=0", "from=9&to=9", long):
            assert (await api.call("GET", f"{path}?{query}"))[0] == 422, query
