"""Channels without a network: the numbers of channels.md 5, the flat design measured in the same run beside them."""

from __future__ import annotations

from scripts.benchmarks.channel_keys import expiry_rows, history_rows, rekey_rows, scale_rows
from scripts.benchmarks.channel_sealing import durable_rows, record_rows, seal_rows, signed_rows
from scripts.benchmarks.channel_sharing import sharing_rows
from scripts.benchmarks.rows import Row

__all__ = ["measure"]


def measure() -> list[Row]:
    """All rows of the channels."""
    sealing = [*seal_rows(), *signed_rows(), *durable_rows(), *record_rows()]
    return [*scale_rows(), *rekey_rows(), *expiry_rows(), *history_rows(), *sharing_rows(), *sealing]
