"""The node's metrics: a small set with stable names, none of which carries an id, an address or a name in a label.

Label values come from fixed sets; anything else is counted as `other`, so a peer cannot grow the series.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["METRICS_CONTENT_TYPE", "Metrics"]

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_TELEGRAM_OUTCOMES: Final = frozenset({"ok", "checksum", "truncated", "malformed", "skew", "duplicate"})
_ALARM_KINDS: Final = frozenset(
    {"writer_fork", "late_checkpoint", "commit_mismatch", "stale_epoch", "chain_silent", "clock", "meter_silent",
     "second_writer", "backlog", "unfunded", "broker", "reorg_too_deep", "engine_fault"}
)  # fmt: skip
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE"})


class Metrics:
    """One registry per node, so that several nodes can live in one process of a test."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.chain_head_age = self._gauge("chain_head_age_seconds", "Age of the newest block seen")
        self.chain_head_block = self._gauge("chain_head_block", "Number of the newest block seen")
        self.sender_balance = self._gauge("sender_balance_ether", "Balance of the account that pays for transactions")
        self.sender_left = self._gauge("sender_transactions_left", "Transactions that the balance pays for")
        self.outbox_pending = self._gauge("outbox_pending", "Effects waiting to be executed")
        self.api_connections = self._gauge("api_connections", "Open connections of the REST interface")
        self.commits = self._counter("commits", "Channel commits published")
        self.envelopes_sealed = self._counter("envelopes_sealed", "Envelopes sealed")
        self.envelopes_opened = self._counter("envelopes_opened", "Envelopes opened and verified")
        self.readings_removed = self._counter("readings_removed", "Opened readings removed because of their age")
        self.parcels = self._counter("parcels", "Sealed messages of other nodes by outcome", "outcome")
        self._telegrams = self._counter("telegrams", "Meter telegrams by outcome", "outcome")
        self._alarms = self._counter("alarms", "Alarms raised by kind", "kind")
        self._requests = self._counter("api_requests", "Answers of the REST interface", "method", "status")
        self._refused = self._counter("api_connections_refused", "Connections cut at once because of a cap")
        self.api_seconds = Histogram(
            "wattpact_api_request_seconds", "Time to answer a request", registry=self.registry,
            buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 30),
        )  # fmt: skip

    def telegram(self, outcome: str) -> None:
        """ok, checksum, truncated, malformed, skew or duplicate."""
        self._telegrams.labels(outcome if outcome in _TELEGRAM_OUTCOMES else "other").inc()

    def alarm(self, kind: str) -> None:
        self._alarms.labels(kind if kind in _ALARM_KINDS else "other").inc()

    def request(self, method: str, status: int, seconds: float) -> None:
        """`status` is counted by class only: 2xx, 4xx."""
        self._requests.labels(method if method in _METHODS else "other", f"{status // 100}xx").inc()
        self.api_seconds.observe(seconds)

    def connection_refused(self) -> None:
        self._refused.inc()

    def render(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"wattpact_{name}", text, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"wattpact_{name}", text, labels, registry=self.registry)
