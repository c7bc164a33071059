"""Webhooks with real receivers: signed, in order, again until taken, over restarts; and where they may not lead."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from node.errors import NodeError
from node.observability import configure_logging
from node.projection import events as e
from node.runtime.outbound import Forbidden, NoAnswer, Outbound, is_public
from node.runtime.webhooks import signature
from tests.integration.test_event_feed import grants
from tests.support.feedserver import FeedServer, Receiver, feed_server, receiver
from tests.support.processes import until
from tests.unit.node.projection.kit import granted


async def call(api: FeedServer, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {api.admin}"}
    async with api.http.request(method, api.url(path), json=body, headers=headers) as response:
        return response.status, await response.json(content_type=None) if response.status != 204 else None


async def added(api: FeedServer, found: Receiver, **more: Any) -> dict[str, Any]:
    status, made = await call(api, "POST", "/webhooks", {"url": found.url, "after": 0, **more})
    assert status == 201, made
    return dict(made)


def origin(found: Receiver) -> str:
    return found.url.rsplit("/", 1)[0]


async def took(found: Receiver, count: int) -> bool:
    return len(found.got) >= count


async def kept(api: FeedServer, hook: str, acked: int) -> bool:
    """Whether the node has written down that so many were taken, which it does after the receiver's answer."""
    return bool((await call(api, "GET", f"/webhooks/{hook}"))[1]["acked"] >= acked)


def numbers(found: Receiver) -> list[int]:
    return [json.loads(body)["seq"] for _, body in found.got]


async def state(api: FeedServer, hook: str) -> str:
    return str((await call(api, "GET", f"/webhooks/{hook}"))[1]["state"])


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """Vector of the specification's reference implementations (standardwebhooks.com)."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_events_arrive_in_order_and_signed(tmp_path: Path) -> None:
    async with receiver() as found, feed_server(tmp_path, origin(found)) as api:
        await api.journal.apply([granted(5), e.LoggedRolledBack(4)])
        made = await added(api, found)
        await api.journal.apply(grants(6, 3))
        await until("all five", lambda: took(found, 5))
        assert numbers(found) == [1, 2, 3, 4, 5]
        assert json.loads(found.got[1][1])["undoes"] == 1
        secret = base64.b64decode(made["secret"].removeprefix("whsec_"))
        for headers, body in found.got:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == "v1," + expected
            assert headers["webhook-id"] == f"evt_{api.feed.id}_{json.loads(body)['seq']}"


async def test_a_failing_receiver_gets_the_same_event_again_and_the_rest_in_order(tmp_path: Path) -> None:
    async with receiver() as found, feed_server(tmp_path, origin(found)) as api:
        found.answers = [500, 429, 200, 503, 200]
        await api.journal.apply(grants(1, 3))
        made = await added(api, found)

        async def all_in_time() -> bool:
            api.clock.advance(1)  # more than any pause, less than all its patience in as many looks
            return await took(found, 6)

        await until("every event", all_in_time, every=0.5)
        await until("that all were taken is kept", lambda: kept(api, made["id"], 3))
        assert numbers(found) == [1, 1, 1, 2, 2, 3]
        ids = [headers["webhook-id"] for headers, _ in found.got]
        assert len(set(ids)) == 3
        shown = (await call(api, "GET", f"/webhooks/{made['id']}"))[1]
        assert (shown["state"], shown["failures"], shown["acked"]) == ("active", 0, 3)


async def test_one_that_does_not_answer_holds_up_nobody(tmp_path: Path) -> None:
    async with receiver() as bad, receiver() as good, feed_server(tmp_path, origin(bad), origin(good)) as api:
        bad.answers = [500] * 1_000
        first = await added(api, bad)
        await added(api, good)
        await api.journal.apply(grants(1, 20))
        await until("the good one has all", lambda: took(good, 20))

        async def failing() -> bool:
            return await state(api, first["id"]) == "failing"

        await until("the bad one fails", failing)


async def test_after_long_failure_it_is_disabled_and_a_person_enables_it(tmp_path: Path) -> None:
    async with receiver() as found, feed_server(tmp_path, origin(found)) as api:
        found.answers = [500] * 1_000
        await api.journal.apply(grants(1, 2))
        made = await added(api, found)
        await until("the first failure", lambda: took(found, 1))

        async def disabled() -> bool:
            api.clock.advance(100)
            return await state(api, made["id"]) == "disabled"

        await until("it is disabled", disabled)
        shown = (await call(api, "GET", f"/webhooks/{made['id']}"))[1]
        assert (shown["state"], shown["detail"]) == ("disabled", "The receiver answers 500.")
        found.answers.clear()
        before = len(found.got)
        await call(api, "POST", f"/webhooks/{made['id']}/enable")
        await until("both events", lambda: took(found, before + 2))
        assert numbers(found)[before:] == [1, 2]


async def test_gone_disables_at_once(tmp_path: Path) -> None:
    async with receiver() as found, feed_server(tmp_path, origin(found)) as api:
        found.answers = [410]
        made = await added(api, found)
        await api.journal.apply(grants(1, 1))

        async def disabled() -> bool:
            return await state(api, made["id"]) == "disabled"

        await until("it is disabled", disabled)


async def test_a_restart_loses_nothing(tmp_path: Path) -> None:
    async with receiver() as found:
        async with feed_server(tmp_path, origin(found)) as api:
            found.answers = [200, 200, 500]
            await added(api, found)
            await api.journal.apply(grants(1, 6))
            await until("two are taken", lambda: took(found, 3))
        async with feed_server(tmp_path, origin(found)) as api:
            api.clock.advance(3_600)
            await until("the rest", lambda: took(found, 7))
        assert numbers(found) == [1, 2, 3, 3, 4, 5, 6]


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with receiver() as target, receiver() as found, feed_server(tmp_path, origin(found), origin(target)) as api:
        found.answers, found.headers = [307] * 50, {"Location": target.url}
        made = await added(api, found)
        status, answer = await call(api, "POST", f"/webhooks/{made['id']}/test")
        assert (status, answer["ok"], answer["status"]) == (200, False, 307)
        assert not target.got


async def test_a_test_message_is_signed_and_counts_for_nothing(tmp_path: Path) -> None:
    async with receiver() as found, feed_server(tmp_path, origin(found)) as api:
        made = await added(api, found)
        _, answer = await call(api, "POST", f"/webhooks/{made['id']}/test")
        assert answer == {"ok": True, "status": 200, "detail": "The receiver answers 200."}
        headers, body = found.got[0]
        assert json.loads(body)["type"] == "test"
        assert headers["webhook-signature"].startswith("v1,")
        assert (await call(api, "GET", f"/webhooks/{made['id']}"))[1]["acked"] == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "https://127.0.0.1/hook",
        "https://127.1/hook",
        "https://0x7f000001/hook",
        "https://2130706433/hook",
        "https://10.0.0.1/hook",
        "https://192.168.1.1:8443/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://user:secret@example.org/",
        "https://example.org/#part",
        "https://example.org:0/",
        "https:///nothing",
        "file:///etc/passwd",
        "gopher://example.org/",
        "https://exa mple.org/",
        "nonsense",
    ],
)
def test_addresses_that_lead_inside_are_refused(url: str) -> None:
    """permissions.md 5: https only, nothing private, loopback or link-local."""
    with pytest.raises(Forbidden):
        Outbound().check(url)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


async def test_a_name_that_leads_to_a_private_address_is_refused() -> None:
    """The name looks harmless; what it resolves to is looked at, for the very connection that is made."""
    outbound = Outbound()
    outbound.check("https://localhost/hook")
    with pytest.raises(Forbidden, match="not public"):
        await outbound.post("https://localhost/hook", b"{}", {})
    await outbound.close()


async def test_only_the_allowed_port_of_an_allowed_host_is_free() -> None:
    async with receiver() as found, receiver() as other:
        outbound = Outbound([origin(found)])
        assert (await outbound.post(found.url, b"{}", {})) == 200
        with pytest.raises(Forbidden):
            await outbound.post(other.url, b"{}", {})
        assert not other.got
        named = Outbound([origin(found).replace("127.0.0.1", "localhost")])
        assert (await named.post(found.url.replace("127.0.0.1", "localhost"), b"{}", {})) == 200
        with pytest.raises((Forbidden, NoAnswer)):
            await named.post(other.url.replace("http://127.0.0.1", "https://localhost"), b"{}", {})
        await outbound.close()
        await named.close()


async def test_secrets_reach_neither_the_log_nor_the_database(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging("debug", "json")
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    try:
        async with receiver() as found, feed_server(tmp_path, origin(found)) as api:
            found.answers = [500] * 1_000
            made = await added(api, found)
            await api.journal.apply(grants(1, 1))

            async def failing() -> bool:
                return await state(api, made["id"]) == "failing"

            await until("a failure", failing)
            listed = json.dumps((await call(api, "GET", "/webhooks"))[1])
            secret = made["secret"].removeprefix("whsec_")
            raw = base64.b64decode(secret)
            assert secret not in listed
        shown = capfd.readouterr()
        stored = contents(tmp_path)
        assert raw not in stored
        for text in (shown.out, shown.err, stored.decode("latin-1")):
            assert secret not in text
            assert raw.hex() not in text
        assert "webhook_failing" in shown.err + shown.out
    finally:
        configure_logging("info", "console")


async def test_an_error_names_the_host_only() -> None:
    """The path of a webhook is often a secret of its own."""
    outbound = Outbound(["http://127.0.0.1:1"])
    with pytest.raises(NodeError) as caught:
        await outbound.post("http://127.0.0.1:1/a-secret-path?key=b-secret", b"{}", {})
    assert "secret" not in caught.value.message
    await outbound.close()
