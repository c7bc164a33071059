"""One redactor for every record: planted secrets never leave (operations.md 4, test 36)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from node.observability import Metrics, configure_logging, get_logger, redact_text, redact_value, request_scope
from node.types import short_id

KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
WORDS = "test test test test test test test test test test test junk"
TELEGRAM = "/ISK5\\2M550T-1012\r\n\r\n1-3:0.2.8(50)\r\n1-0:1.8.1(004321.123*kWh)\r\n!A1B2\r\n"
TOKEN = "wattpact_aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ"
CANARIES = (KEY, WORDS, "004321.123", TOKEN, "hunter2-hunter2", "abc.def.ghi")


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def logged(style: str = "json") -> io.StringIO:
    stream = io.StringIO()
    configure_logging("debug", "json" if style == "json" else "console", stream)
    return stream


@pytest.mark.parametrize("style", ["json", "console"])
def test_planted_secrets_never_reach_the_stream(style: str) -> None:
    stream = logged(style)
    log = get_logger("test")
    log.info("planted", passphrase="hunter2-hunter2", mnemonic=WORDS, private_key=bytes.fromhex(KEY), token=TOKEN)
    log.info(f"in text 0x{KEY} and {KEY} and {WORDS}, and", note=f"Authorization: Bearer abc.def.ghi {TOKEN}")
    log.info("nested", request={"headers": [{"Authorization": "Bearer abc.def.ghi"}], "seed": {"words": WORDS}})
    log.warning("meter", line=TELEGRAM, raw=TELEGRAM.encode(), frame="1-0:1.8.1(004321.123*kWh)", detail=TELEGRAM)
    log.info("url", url="mqtt://user:hunter2-hunter2@broker:1883", config="password = hunter2-hunter2")
    logging.getLogger("library").error("failed with %s for %s", KEY, f"https://u:hunter2-hunter2@h and {WORDS}")
    try:
        raise ValueError(f"bad key {KEY} in {TELEGRAM}")
    except ValueError:
        log.error("failed", exc_info=True)
    text = stream.getvalue()
    for canary in CANARIES:
        assert canary not in text, canary
    assert "planted" in text
    assert "ValueError" in text


def test_ids_stay_readable_where_a_key_says_so() -> None:
    stream = logged()
    get_logger("test").info(
        "commit", sid=bytes.fromhex(KEY), commit_hash="0x" + KEY, grant_id="0x" + KEY, other="0x" + KEY
    )
    row = json.loads(stream.getvalue())
    assert row["sid"] == row["commit_hash"] == row["grant_id"] == "0x" + KEY
    assert row["other"] == "[redacted]"


def test_a_log_line_stays_one_line() -> None:
    """operations.md 4, test 24: no raw control bytes in logs."""
    stream = logged("console")
    get_logger("test").info("name", party="Evil\x1b[2J\r\n2026 info fake line\x9b\u2028")
    (line,) = stream.getvalue().splitlines()
    assert "\x1b" not in line
    assert "\x9b" not in line


def test_request_ids_reach_records_and_end_with_the_request() -> None:
    stream = logged()
    with request_scope() as outer:
        get_logger("test").info("inside")
        with request_scope("given"):
            logging.getLogger("library").warning("deep")
    get_logger("test").info("outside")
    inside, deep, outside = map(json.loads, stream.getvalue().splitlines())
    assert inside["request"] == outer
    assert deep["request"] == "given"
    assert "request" not in outside


def test_level_and_libraries() -> None:
    stream = io.StringIO()
    configure_logging("warning", "json", stream)
    get_logger("test").info("quiet")
    logging.getLogger("aiohttp.access").info("quiet")
    get_logger("test").warning("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


@pytest.mark.parametrize("separator", [" ", "\n", ", ", "  ", '", "', " | "])
def test_a_mnemonic_is_seen_whatever_stands_between_its_words(separator: str) -> None:
    text = f"words: {separator.join(WORDS.split())} hereafter"
    assert "junk" not in redact_text(text)
    assert redact_text(text).endswith(" hereafter")


def test_ordinary_sentences_survive() -> None:
    text = "The gateway has seen no block for 40 s; it will wait until the chain is back."
    assert redact_text(text) == text
    assert redact_value("count", 7) == 7
    assert redact_value("ok", True) is True
    assert redact_value("epoch", 2**40) == 2**40
    assert redact_value("blob", b"x" * 9) == "[9 bytes]"


def test_endless_structures_end() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert "[too deep]" in str(redact_value("a", loop))


def test_metrics_have_stable_names_and_bounded_labels() -> None:
    """operations.md 2, metrics: stable names documented, no ids as labels."""
    metrics = Metrics()
    metrics.telegram("ok")
    for index in range(100):
        metrics.telegram(f"made up {index}")
        metrics.alarm(f"0x{index:064x}")
        metrics.request(f"EVIL{index}", 404, 0.1)
    text = metrics.render().decode()
    for name in (
        "wattpact_chain_head_age_seconds", "wattpact_commits_total", "wattpact_envelopes_sealed_total",
        "wattpact_envelopes_opened_total", 'wattpact_telegrams_total{outcome="ok"} 1.0',
        'wattpact_telegrams_total{outcome="other"} 100.0', 'wattpact_alarms_total{kind="other"} 100.0',
        "wattpact_outbox_pending", 'wattpact_api_requests_total{method="other",status="4xx"} 100.0',
    ):  # fmt: skip
        assert name in text
    assert "EVIL" not in text
    assert "0x" not in text


def test_a_contract_is_named_by_the_beginning_of_its_id() -> None:
    """A whole id looks like a key: it would be taken out, and nobody could tell which contract a line is about."""
    contract = bytes.fromhex(KEY)
    assert short_id(contract) == "0xac0974be"
    assert redact_text(f"contract={short_id(contract)}") == "contract=0xac0974be"
    assert KEY not in redact_text(f"contract={contract.hex()}")
