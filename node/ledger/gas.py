"""Gas limits known beforehand: the measured cost of each message (`contracts/gas.json`) with a margin.

They hold for messages that keys sign. A wallet that is a contract checks its own signature at its own price, so those
are estimated. What is not used is not paid for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from keys import messages as m

__all__ = ["REVOKE_GAS", "known_gas"]

# contracts/README.md: fixed, because a reorganisation can move it ahead of its grant, where it costs more.
REVOKE_GAS = 75_000
_ROWS: Mapping[type[m.Message], str] = MappingProxyType(
    {
        m.RegisterStream: "register stream, relayed",
        m.SetWriter: "set writer, relayed",
        m.PairDevice: "pair device, relayed",
        m.UnpairDevice: "unpair device with one stream, relayed",
        m.Grant: "grant, relayed, nonce word in use",
        m.RegisterKey: "register reader key, relayed",
        m.StreamCommit: "commit, relayed",
        m.TransferStream: "transfer stream, relayed",
        m.Reading: "mint by signed reading, single, ABI-encoded",
    }
)
_EACH_STREAM = "one grant over 100 streams, each"
# The first nonce of a word writes a fresh slot: 22,100 instead of 5,000 (EIP-2929, EIP-2200).
_FRESH_WORD = 17_100
# A receipt tells what was paid after refunds, which are a fifth at most (EIP-3529) and must be advanced: 25 percent on
# top. The rest is for lengths of calldata and for storage that is colder than in the measurement.
_MARGIN_PERCENT = 45


@cache
def _table() -> Mapping[str, int]:
    text = resources.files("contracts").joinpath("gas.json").read_text(encoding="utf-8")
    return {row["name"]: int(row["gas"]) for row in json.loads(text)}


def known_gas(message: m.Message) -> int:
    """Return the limit for a message that keys signed; 0 where nothing was measured, and the endpoint is asked."""
    if isinstance(message, m.Revoke):
        return REVOKE_GAS
    table = _table()
    measured = table.get(_ROWS.get(type(message), ""))
    if measured is None or _EACH_STREAM not in table:
        return 0
    more = max(0, len(getattr(message, "sids", ())) - 1) * table[_EACH_STREAM]
    # The first reading of a source fills what is empty until then.
    fresh = 3 if isinstance(message, m.Reading) else 1
    return (measured + more) * (100 + _MARGIN_PERCENT) // 100 + fresh * _FRESH_WORD
