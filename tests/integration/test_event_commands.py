"""`wattpact events`, `subscription` and `webhook` against a real server over a real database."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from typer.testing import CliRunner

from node.app.main import command_line
from node.errors import ExitCode
from tests.integration.test_event_feed import acked, grants, reached
from tests.integration.test_webhooks import kept, origin, took
from tests.support.feedserver import FeedServer, feed_server, receiver
from tests.support.processes import until


async def wattpact(api: FeedServer, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, which runs in a thread of its own."""
    environment = {"WATTPACT_URL": api.server.url, "WATTPACT_TOKEN": api.admin}
    result = await asyncio.to_thread(CliRunner().invoke, command_line(), list(words), env=environment)
    return result.exit_code, result.stdout, result.stderr


async def test_events_tail_goes_on_where_its_subscription_stopped(tmp_path: Path) -> None:
    async with feed_server(tmp_path) as api:
        await api.journal.apply(grants(1, 5))
        code, out, error = await wattpact(
            api, "events", "tail", "--name", "billing", "--from", "0", "--count", "3", "--json"
        )
        assert code == 0, error
        assert [json.loads(line)["seq"] for line in out.splitlines()] == [1, 2, 3]
        await until("what it acknowledged is kept", lambda: reached(api, "billing", 3))
        assert await acked(api, "billing") == 3
        code, out, _ = await wattpact(api, "events", "tail", "--name", "billing", "--from", "0", "--count", "2")
        assert [line.split()[0] for line in out.splitlines()] == ["4", "5"]
        assert "consent.seen" in out
        await until("what it acknowledged is kept", lambda: reached(api, "billing", 5))
        code, out, _ = await wattpact(api, "subscription", "list", "--json")
        assert json.loads(out)["acked"] == 5
        assert (await wattpact(api, "subscription", "remove", "billing"))[0] == 0


async def test_events_tail_tells_why_it_is_refused(tmp_path: Path) -> None:
    async with feed_server(tmp_path) as api:
        code, _, error = await wattpact(api, "events", "tail", "--from", "7")
        assert code == ExitCode.USAGE
        assert "There is no event 7 yet" in error


async def test_webhook_commands(tmp_path: Path) -> None:
    async with receiver() as found, feed_server(tmp_path, origin(found)) as api:
        code, _, error = await wattpact(api, "webhook", "add", "http://10.0.0.1/hook")
        assert (code, "https" in error) == (ExitCode.USAGE, True)
        code, out, error = await wattpact(api, "webhook", "add", found.url, "--from", "0", "--json")
        made = json.loads(out)
        assert made["secret"].startswith("whsec_")
        await api.journal.apply(grants(1, 1))
        await until("the event", lambda: took(found, 1))
        await until("that it was taken is kept", lambda: kept(api, made["id"], 1))
        assert (await wattpact(api, "webhook", "test", made["id"]))[0] == 0
        _, out, _ = await wattpact(api, "webhook", "list", "--json")
        assert (json.loads(out)["acked"], "secret" in json.loads(out)) == (1, False)
        assert (await wattpact(api, "webhook", "remove", made["id"]))[0] == 0
        assert (await wattpact(api, "webhook", "remove", made["id"]))[0] == ExitCode.NOT_FOUND
