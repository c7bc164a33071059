"""Commands that ask a running node, a real server over a node in memory: exit codes, JSON, words (architecture.md)."""

from __future__ import annotations

import json
from pathlib import Path

from node.cli import (
    Finding,
    ReceiptOptions,
    VerifyOptions,
)
from node.errors import Busy, NeedsPerson
from tests.unit.node.api.memory_node import GRANT, SID, MemoryNode, request
from tests.unit.node.cli.commandline import GRANT_TEXT, REGISTRY, SID_TEXT, Line, api, line, node

__all__ = ["api", "line", "node"]  # fixtures


def test_status_for_people_and_programs(line: Line, node: MemoryNode) -> None:
    text = line.run("status")
    assert text.exit_code == 0
    assert "House 7" in text.stdout
    assert "1.5" in text.stdout
    assert line.json("status")["chain"]["head_block"] == 7
    assert line.json("alarm", "list")["kind"] == "clock"
    assert line.json("transaction", "list")["state"] == "final"


def test_streams_are_found_by_name_sid_or_beginning(line: Line, node: MemoryNode) -> None:
    for word in ("electricity/15min", SID_TEXT, SID_TEXT[:8]):
        assert line.json("stream", "show", word)["sid"] == SID_TEXT
    assert line.run("stream", "show", "0xaa").exit_code == 6
    assert line.run("stream", "show", "gas/1h").exit_code == 6
    assert line.json("stream", "list")["name"] == "electricity/15min"


def test_reading_follows_pages_and_ends_at_the_limit(line: Line, node: MemoryNode) -> None:
    rows = line.json("stream", "read", "electricity/15min", "--limit", "1500")
    assert [row["values"]["import_1_wh"] for row in rows] == list(range(1_500))
    rows = line.json("stream", "read", "electricity/15min", "--limit", "100000")
    assert len(rows) == 2_500
    shown = line.run("stream", "read", "electricity/15min", "--limit", "2")
    assert shown.stdout.count("import_1_wh=") == 2
    assert line.run("stream", "read", "electricity/15min", "--from", "soon").exit_code == 2


def test_following_tells_each_reading_once_and_the_final_ones_again(line: Line, node: MemoryNode) -> None:
    rows = line.json("stream", "read", "electricity/15min", "--follow", "--limit", "2500")
    assert [row["values"]["import_1_wh"] for row in rows] == list(range(2_500))
    final = line.json("stream", "read", "electricity/15min", "--follow", "--final", "--limit", "2000")
    assert [row["values"]["import_1_wh"] for row in final] == list(range(1, 2_001))
    shown = line.run("stream", "read", "electricity/15min", "--follow", "--limit", "1200")
    assert shown.stdout.count("import_1_wh=") == 1_200


def test_a_domain_that_is_not_verified_is_shown_with_its_reason(line: Line, node: MemoryNode) -> None:
    """permissions.md 1."""
    reason = "advice.example shows the card of another party, 0x99."
    asked = node.found["req-1"]
    changes = {"domain_verified": False, "domain_reason": reason, "domain_checked_at": 1_790_000_000}
    node.found["req-1"] = asked.model_copy(update={"party": asked.party.model_copy(update=changes)})
    shown = line.run("consent", "show", "req-1").stdout
    assert "(advice.example, NOT verified)" in shown
    assert f"advice.example, NOT verified: {reason} (asked 2026-09-21 14:13:20Z)" in " ".join(shown.split())
    assert line.json("consent", "show", "req-1")["party"]["domain_reason"] == reason


def test_exports_are_json_for_verify(line: Line, node: MemoryNode, tmp_path: Path) -> None:
    result = line.run("stream", "export", "electricity/15min")
    target = tmp_path / "export.json"
    target.write_text(result.stdout)
    assert json.loads(result.stdout)["sid"] == SID_TEXT
    assert line.run("verify", str(target), "--registry", REGISTRY).exit_code == 0
    assert line.factories.calls == [VerifyOptions(target, None, REGISTRY)]
    line.factories.findings = []
    assert line.run("verify", str(target)).exit_code == 1, "nothing checked is not nothing wrong"


def test_a_consent_from_asking_to_revoking(line: Line, node: MemoryNode) -> None:
    asked = line.json(
        "consent", "request", "https://home.example", "--stream", "gas/1h", "--stream", "electricity/15min",
        "--purpose", "Advice", "--from", "-2d", "--until", "+30d",
    )  # fmt: skip
    assert node.asked[0].streams == ("gas/1h", "electricity/15min")
    start, end = node.asked[0].start, node.asked[0].end
    assert start is not None
    assert end is not None
    assert end - start == 32 * 86_400
    assert {row["id"] for row in line.json("consent", "list")} == {"req-1", asked["id"], GRANT_TEXT}
    assert line.json("consent", "list", "--state", "live")["id"] == GRANT_TEXT
    assert "advice.example, verified" in line.run("consent", "show", "req-1").stdout
    action = line.json("consent", "grant", "req-1", "--streams", "electricity/15min", "--until", "2030-01-01T00:00Z")
    assert action["digest"] == GRANT_TEXT
    assert node.granted[0][1].end == 1_893_456_000
    assert line.json("consent", "deny", asked["id"], "--reason", "No")["state"] == "denied"
    line.json("consent", "refresh", GRANT_TEXT[:10])
    assert node.refreshed == [GRANT]
    line.json("consent", "revoke", GRANT_TEXT[:10], "--stream", "electricity/15min", "--yes")
    line.json("consent", "revoke", GRANT_TEXT, "--yes")
    assert [scope.sid for _, scope, _ in node.revoked] == [SID, None]
    assert line.run("consent", "revoke", GRANT_TEXT, "--stream", "gas/1h", "--yes").exit_code == 6


def test_a_stream_is_given_new_keys(line: Line, node: MemoryNode) -> None:
    """channels.md, "not promised": rotate by SetWriter."""
    assert line.run("stream", "rotate", "electricity/15min").exit_code != 0, "it asks first"
    assert line.json("stream", "rotate", "electricity/15min", "--yes")["state"] == "waiting for the gateway"


def test_a_stream_is_given_away_and_accepted(line: Line, node: MemoryNode) -> None:
    """contracts.md, TransferStream."""
    assert line.run("stream", "gifts", "--json").stdout == ""
    assert line.run("stream", "transfer", "electricity/15min", "--to", "https://new.example").exit_code != 0
    own = ("--to", "https://new.example", "--owner", "0x" + "11" * 20, "--yes")
    assert line.run("stream", "transfer", "electricity/15min", *own).exit_code == 5
    to = ("--to", "https://new.example", "--yes")
    assert line.json("stream", "transfer", "electricity/15min", *to)["state"] == "waiting to be accepted"
    assert line.json("stream", "gifts")["sid"] == SID_TEXT
    assert line.run("stream", "accept", "electricity/15min").exit_code != 0, "it asks first"
    assert line.json("stream", "accept", "electricity/15min", "--yes")["sid"] == SID_TEXT
    assert line.run("stream", "accept", "gas/1h", "--yes").exit_code == 6


def test_erasing_what_was_read_and_its_receipt(line: Line, node: MemoryNode, tmp_path: Path) -> None:
    assert line.run("consent", "erasure", GRANT_TEXT).exit_code == 6
    assert line.run("consent", "erase", GRANT_TEXT).exit_code != 0, "it asks first"
    assert node.erased == {}
    told = line.run("consent", "erase", GRANT_TEXT[:10], "--reason", "moved out", "--yes").stdout
    assert node.erased == {GRANT: "moved out"}
    assert "3 readings, 2 envelopes; commit 1 stays" in told
    assert line.json("consent", "erasure", GRANT_TEXT)["state"] == "done"
    receipt = line.json("consent", "erasure", GRANT_TEXT, "--receipt")
    assert list(receipt) == ["receipt"]
    path = tmp_path / "receipt.json"
    path.write_text("{}")
    assert line.run("verify-receipt", str(path), "--account", REGISTRY, "--export", str(path)).exit_code == 0
    assert line.factories.calls[-1] == ReceiptOptions(path, REGISTRY, (path,))
    line.factories.findings = [Finding("signature", False, "by another")]
    assert line.run("verify-receipt", str(path)).exit_code == 1


def test_erasing_the_past_of_a_stream(line: Line, node: MemoryNode) -> None:
    """channels.md 4 rule 11: the owner's command asks first, and says what readers keep."""
    assert line.run("stream", "erasure", SID_TEXT).exit_code == 6
    assert line.run("stream", "erase", SID_TEXT, "--yes").exit_code == 2, "neither a day nor all"
    assert line.run("stream", "erase", SID_TEXT, "--all", "--before", "2026-01-01", "--yes").exit_code == 2
    assert line.run("stream", "erase", SID_TEXT, "--all").exit_code != 0, "it asks first"
    assert node.past is None
    told = line.run("stream", "erase", SID_TEXT[:10], "--before", "2026-01-01", "--reason", "sold", "--yes").stdout
    kept = line.json("stream", "erasure", SID_TEXT)
    assert (kept["before"], kept["reason"]) == (1_767_225_600, "sold")
    assert "keep what they have read" in told
    assert line.json("stream", "erasure", SID_TEXT)["state"] == "asked"
    assert line.run("stream", "erasure", SID_TEXT, "--receipt").exit_code == 6, "there is none yet"
    assert line.json("stream", "erase", SID_TEXT, "--all", "--yes")["before"] is None


def test_an_external_wallet_signs(line: Line, node: MemoryNode, tmp_path: Path) -> None:
    printed = line.run("consent", "grant", "req-1", "--until", "2030-01-01T00:00Z", "--unsigned")
    document = json.loads(printed.stdout)
    assert document["primaryType"] == "Grant"
    saved = tmp_path / "grant.json"
    saved.write_text(printed.stdout)
    signature = "0x" + "ab" * 65
    line.json("consent", "grant", "req-1", "--signature", signature, "--typed-data", str(saved))
    external = node.granted[0][2]
    assert external is not None
    assert external.typed_data == document
    assert line.run("consent", "grant", "req-1", "--unsigned", "--signature", signature).exit_code == 2
    assert line.run("consent", "revoke", GRANT_TEXT, "--unsigned").exit_code == 0
    bad = line.run("consent", "grant", "req-1", "--signature", "0x12")
    assert bad.exit_code == 2
    assert "external.signature" in bad.stderr


def test_what_cannot_be_undone_is_asked_or_said(line: Line, node: MemoryNode) -> None:
    for words in (("consent", "revoke", GRANT_TEXT), ("unpair",)):
        result = line.run(*words, stdin="")
        assert result.exit_code == 2
        assert "--yes" in result.stderr
    assert not node.revoked


def test_pairing(line: Line, node: MemoryNode) -> None:
    shown = line.run("pair", "new")
    assert "7-amber-lake" in shown.stdout
    assert "█" in shown.stdout or "▄" in shown.stdout
    assert line.json("pair", "new")["qr"].startswith("wattpact:")
    wrong = line.run("pair", "1-wrong-code", "--url", "http://gw:1")
    assert wrong.exit_code == 5
    assert wrong.stderr.splitlines()[-2:] == ["The code is wrong.", "Ask the gateway for a new one."]
    assert line.json("pair", "7-amber-lake", "--url", "http://gw:1")["state"] == "paired"
    assert line.run("pair", "7-amber-lake").exit_code == 7
    assert line.json("pair")["state"] == "paired"
    assert line.json("unpair", "--yes")["state"] == "queued"


def test_tokens(line: Line, node: MemoryNode) -> None:
    made = line.json("token", "create", "app", "--scope", "read", "--days", "1")
    assert line.json("token", "list")["id"] == made["id"]
    url = json.loads((line.folder / "api.json").read_text())["url"]
    remote = {"WATTPACT_URL": url, "WATTPACT_TOKEN": made["token"]}
    assert line.json("status", **remote)["name"] == "House 7"
    assert line.run("token", "list", **remote).exit_code == 5
    line.json("token", "revoke", made["id"])
    assert line.run("status", **remote).exit_code == 5
    assert line.run("token", "revoke", "../x").exit_code == 2


def test_foreign_words_cannot_move_the_cursor(line: Line, node: MemoryNode) -> None:
    """A party's name is attacker-chosen: no escape sequence, markup or bidirectional override reaches the terminal."""
    node.found["req-9"] = request("req-9", "Evil\x1b[2J\u202e[bold red]trusted[/]\r\nfake")
    text = line.run("consent", "list").stdout
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold red]trusted" in text


def test_a_problem_of_the_node_is_a_sentence_with_a_remedy(line: Line, node: MemoryNode) -> None:
    node.failure = Busy("The queue is full.", remedy="Wait.")
    result = line.run("status")
    assert result.exit_code == 7
    assert result.stderr == "The queue is full.\nWait.\n"
    assert result.stdout == ""
    node.failure = NeedsPerson("Two writers.", remedy="Stop one.")
    assert line.run("status").exit_code == 8
    node.failure, node.broken = None, True
    broken = line.run("status", "--json")
    assert broken.exit_code == 1
    assert "ZeroDivision" not in broken.output


def test_a_gateway_is_moved_from_and_how_far_it_is(line: Line, node: MemoryNode) -> None:
    """channels.md 4, rule 10."""
    assert line.run("gateway", "move", "ABCD-EFGH", "--yes").exit_code != 0, "there is none yet"
    node.paired = True
    assert line.json("gateway", "move", "ABCD-EFGH", "--yes")["state"] == "pairing"
    assert node.moved == ["ABCD-EFGH"]
    assert line.json("gateway", "status")["state"] == "moved"


def test_a_transaction_is_shown_and_given_up(line: Line, node: MemoryNode) -> None:
    """One, by the digest of its message."""
    assert line.json("transaction", "show", GRANT_TEXT)["state"] == "final"
    assert line.json("transaction", "cancel", GRANT_TEXT)["hash"] == GRANT_TEXT
    assert node.cancelled == [GRANT]
