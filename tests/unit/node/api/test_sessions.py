"""Browsers at the REST interface: one-time links, sessions in a cookie, and pages that are not ours (M-71)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from node.api.sessions import LINK_S, PAGE_HEADER
from node.web import PAGES_CSP
from tests.unit.node.api.serving import Served, served, settings

STATUS = "/api/v1/status"
SESSION = "/pages/session"


def own(api: Served) -> dict[str, str]:
    """What a script of our own page sends beside the cookie."""
    return {PAGE_HEADER: "1", "Origin": api.server.url}


async def link(api: Served, scope: str = "admin") -> str:
    status, made, headers = await api.call("POST", "/api/v1/session-links", json={"scope": scope})
    assert (status, headers["Cache-Control"]) == (201, "no-store")
    path: str = made["path"]
    assert path.startswith("/#open=")
    return path.removeprefix("/#open=")


async def enter(api: Served, code: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any, Mapping[str, str]]:
    return await api.call(
        "POST", SESSION, token=None, json={"code": code}, headers=own(api) if headers is None else headers
    )


async def call(api: Served, method: str, path: str, headers: Mapping[str, str], **rest: Any) -> int:
    status, _, _ = await api.call(method, path, token=None, headers=headers, **rest)
    return status


async def test_m71_a_link_opens_one_session_whose_cookie_no_script_reads() -> None:
    async with served() as api:
        code = await link(api)
        status, mine, headers = await enter(api, code)
        assert (status, mine) == (200, {"scope": "admin", "expires_at": api.clock.now() + 43_200})
        cookie = headers["Set-Cookie"]
        for word in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200", f"wattpact_{api.server.listen.port}="):
            assert word in cookie, cookie
        assert "Domain" not in cookie
        text = cookie.partition("=")[2].partition(";")[0]
        (record,) = await api.tokens.records()
        assert text.encode() not in record.digest, "stored hashed, as tokens are"
        assert await call(api, "GET", STATUS, own(api)) == 200
        # The link is worth nothing any more, and the cookie nothing as a token of a program.
        status, problem, _ = await enter(api, code)
        assert (status, problem["code"]) == (401, "unauthenticated")
        assert "wattpact open" in problem["remedy"]
        api.http.cookie_jar.clear()
        assert (await api.call("GET", STATUS, token=text))[0] == 401
        assert (
            await call(api, "GET", STATUS, {**own(api), "Cookie": f"wattpact_{api.server.listen.port}={api.admin}"})
            == 401
        )


async def test_m71_logging_out_ends_the_session_for_every_copy_of_its_cookie() -> None:
    async with served() as api:
        _, _, headers = await enter(api, await link(api))
        stolen = headers["Set-Cookie"].partition(";")[0]
        assert await call(api, "GET", STATUS, {**own(api), "Cookie": stolen}) == 200
        assert await call(api, "DELETE", SESSION, own(api)) == 204
        assert await call(api, "GET", STATUS, {**own(api), "Cookie": stolen}) == 401
        assert await api.tokens.records() == ()
        # Revoked by a person at the command line: the same.
        await enter(api, await link(api))
        (record,) = await api.tokens.records()
        await api.tokens.revoke(record.id)
        assert await call(api, "GET", SESSION, own(api)) == 401


async def test_a_session_has_an_end_and_a_link_an_earlier_one() -> None:
    async with served(settings(session_s=60)) as api:
        late = await link(api)
        api.clock.advance(LINK_S)
        assert (await enter(api, late))[0] == 401
        await enter(api, await link(api))
        api.clock.advance(59)
        assert await call(api, "GET", STATUS, own(api)) == 200
        api.clock.advance(1)
        status, problem, _ = await api.call("GET", STATUS, token=None, headers=own(api))
        assert (status, problem["detail"]) == (401, "The session has ended.")
        assert "wattpact open" in problem["remedy"]
        await enter(api, await link(api))
        assert len(await api.tokens.records()) == 1, "what ran out is cleared away"


async def test_a_session_may_do_what_its_link_was_made_for() -> None:
    async with served() as api:
        await enter(api, await link(api, "read"))
        assert await call(api, "GET", STATUS, own(api)) == 200
        assert await call(api, "GET", "/api/v1/tokens", own(api)) == 403
        assert await call(api, "POST", "/api/v1/session-links", own(api), json={}) == 403
        # Whoever enters anew has one session, not two.
        await enter(api, await link(api, "admin"))
        assert [record.scopes for record in await api.tokens.records()] == [{"admin"}]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {PAGE_HEADER: "1"},  # a call that changes something always tells its Origin
        {PAGE_HEADER: "1", "Origin": "https://evil.example"},
        {PAGE_HEADER: "1", "Origin": "null"},
        {PAGE_HEADER: "1", "Origin": "http://127.0.0.1:1"},  # another port of this machine
        {"Origin": "OWN"},  # a form: no header of its own
    ],
)
async def test_csrf_a_foreign_page_moves_nothing_with_somebodys_cookie(headers: dict[str, str]) -> None:
    async with served() as api:
        sent = {name: api.server.url if value == "OWN" else value for name, value in headers.items()}
        assert (await enter(api, await link(api), sent))[0] == 403, "nor does it log anybody in"
        await enter(api, await link(api))
        body = {"name": "x", "scopes": ["admin"]}
        assert await call(api, "POST", "/api/v1/tokens", sent, json=body) == 403
        assert await call(api, "DELETE", SESSION, sent) == 403
        assert len(await api.tokens.records()) == 1
        assert await call(api, "POST", "/api/v1/tokens", own(api), json=body) == 201


@pytest.mark.parametrize("host", ["x:abc", "[::1", "x:٣", "x:" + "9" * 99, "127.0.0.1"])
async def test_whatever_a_caller_writes_into_its_headers_is_an_answer_not_a_defect(host: str) -> None:
    async with served() as api:
        await enter(api, await link(api))
        for origin in ("http://[", "http://" + host, "null", ""):
            sent = {**own(api), "Origin": origin, "Host": host.encode().decode("latin-1")}
            for method, path in (("GET", STATUS), ("DELETE", SESSION), ("POST", SESSION)):
                body = {"json": {"code": "x"}} if method == "POST" else {}
                assert await call(api, method, path, sent, **body) in (400, 401, 403), (origin, method)


async def test_csrf_reading_and_following_need_our_own_page_too() -> None:
    async with served() as api:
        await enter(api, await link(api))
        assert await call(api, "GET", STATUS, {}) == 403
        assert await call(api, "GET", STATUS, {PAGE_HEADER: "1", "Origin": "https://evil.example"}) == 403
        live = api.server.url + "/api/v1/market/live"
        for origin in (None, "https://evil.example", "http://127.0.0.1:1"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await api.http.ws_connect(live, origin=origin)
            assert refused.value.status == 403
        async with api.http.ws_connect(live, origin=api.server.url) as socket:
            assert (await socket.receive_json())["type"] == "hello"


async def test_a_preflight_of_another_origin_is_answered_with_nothing() -> None:
    """Without leave the browser of a foreign page sends no header of ours."""
    async with served() as api:
        headers = {
            "Origin": "https://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": PAGE_HEADER,
        }
        for path in (STATUS, SESSION):
            status, _, answered = await api.call("OPTIONS", path, token=None, headers=headers)
            assert status == 405
            assert not [name for name in answered if name.lower().startswith("access-control")]


async def test_guessing_links_is_limited_and_locks_nobody_out() -> None:
    async with served() as api:
        for _ in range(60):
            assert (await enter(api, "guess"))[0] == 401
        assert (await enter(api, "guess"))[0] == 429
        assert (await enter(api, await link(api)))[0] == 200


async def test_links_are_few_and_the_oldest_goes() -> None:
    async with served() as api:
        codes = [await link(api) for _ in range(17)]
        assert (await enter(api, codes[0]))[0] == 401
        assert (await enter(api, codes[1]))[0] == 200


async def test_behind_tls_the_cookie_belongs_to_this_host_alone() -> None:
    async with served(settings(plain_http=True)) as api:
        _, _, headers = await enter(api, await link(api))
        assert headers["Set-Cookie"].startswith("__Host-wattpact_")
        assert "; Secure" in headers["Set-Cookie"]


async def test_the_pages_are_files_that_let_nothing_else_in() -> None:
    async with served() as api:
        status, index, headers = await api.call("GET", "/", token=None)
        assert status == 200
        assert headers["Content-Security-Policy"] == PAGES_CSP
        assert "unsafe" not in PAGES_CSP
        assert "http" not in PAGES_CSP
        page = index.decode()
        for word in ("style=", "onload", "onclick", "http:", "https:", "//"):
            assert word not in page.replace("<!doctype html>", ""), word
        assert page.count("<script") == page.count('<script type="module" src="pages/app.js"></script>') == 1
        tag = headers["Etag"]
        assert (await api.call("GET", "/", token=None, headers={"If-None-Match": tag}))[0] == 304
        for name, kind in (("app.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")):
            status, _, headers = await api.call("GET", f"/pages/{name}", token=None)
            assert (status, headers["Content-Type"].partition(";")[0]) == (200, kind)
        for name in ("nothing.js", "..%2f__init__.py", "%2e%2e/pages.py"):
            assert (await api.call("GET", f"/pages/{name}", token=None))[0] == 404
