"""Logs with one redactor, request ids, metrics."""

from node.observability.logs import configure_logging, current_request_id, get_logger, request_scope
from node.observability.metrics import METRICS_CONTENT_TYPE, Metrics
from node.observability.redaction import REDACTED, redact_event, redact_text, redact_value

__all__ = [
    "METRICS_CONTENT_TYPE",
    "REDACTED",
    "Metrics",
    "configure_logging",
    "current_request_id",
    "get_logger",
    "redact_event",
    "redact_text",
    "redact_value",
    "request_scope",
]
