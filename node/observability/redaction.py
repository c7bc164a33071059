"""The one redactor: every log record passes it, ours and the libraries'.

It works by key and by content, and fails closed: 32 bytes of hex may be a hash or a private key, and only keys known to
carry ids may show them. What it cannot see is a secret cut in pieces or encoded in a way not listed here, so secrets
must still never be handed to a logger.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from functools import cache
from typing import Any, Final

from mnemonic import Mnemonic

__all__ = ["REDACTED", "redact_event", "redact_text", "redact_value"]

REDACTED: Final = "[redacted]"
_MAX_DEPTH: Final = 6

_SECRET_KEYS: Final = re.compile(
    r"pass(phrase|word|wd)|secret|mnemonic|seed|private|bearer|authorization|cookie|api_?key|credential"
    r"|telegram|plaintext|pairing_code|(^|_)(readings?|token|key|keys|pin|salt|body|raw)$",
    re.IGNORECASE,
)
# Public by nature: they stand on the chain or in every envelope.
_ID_KEYS: Final = re.compile(
    r"(^|_)(sid|sids|id|hash|digest|address|owner|reader|writer|registry|account|signer|sender|tx|block|root|topic)$"
)
_HEX_SECRET: Final = re.compile(r"(?<![0-9a-fA-F])(?:0[xX])?[0-9a-fA-F]{64,}(?![0-9a-fA-F])")
_TOKENS: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{4,}|\bwattpact_[A-Za-z0-9_-]{8,}")
_USER_INFO: Final = re.compile(r"(?<=://)[^/\s@]+@")
_PEM: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_TELEGRAM: Final = re.compile(r"/[A-Za-z]{3}[0-9][^\r\n]*\r?\n.*?(![0-9A-Fa-f]{0,4}|\Z)", re.DOTALL)
_OBIS_LINE: Final = re.compile(r"\b\d-\d:\d{1,3}\.\d{1,3}\.\d{1,3}(?:\.\d{1,3})?\([^)\r\n]*\)?(?:\([^)\r\n]*\)?)*")
_ASSIGNED: Final = re.compile(
    r"(?i)\b(pass(?:phrase|word)|secret|mnemonic|private[_ ]?key|token)(\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|\S+)"
)
_WORD: Final = re.compile(r"[a-z]{3,8}")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


@cache
def _wordlist() -> frozenset[str]:
    return frozenset(Mnemonic("english").wordlist)


def _without_mnemonic(text: str) -> str:
    """Replaces runs of twelve or more BIP-39 words, whatever stands between the words besides letters and digits."""
    words = list(_WORD.finditer(text))
    pieces: list[str] = []
    kept = 0
    run: list[re.Match[str]] = []

    def close() -> None:
        nonlocal kept
        if len(run) >= 12:
            pieces.append(text[kept : run[0].start()] + REDACTED)
            kept = run[-1].end()
        run.clear()

    for word in words:
        joined = run and not any(c.isalnum() for c in text[run[-1].end() : word.start()])
        if word[0] not in _wordlist():
            close()
        else:
            if run and not joined:
                close()
            run.append(word)
    close()
    return "".join(pieces) + text[kept:]


def redact_text(text: str, *, ids: bool = False) -> str:
    """`text` without secrets; with `ids` long hex stays. Control characters are spelled out."""
    text = _PEM.sub(REDACTED, text)
    text = _TELEGRAM.sub("[telegram]", text)
    text = _OBIS_LINE.sub("[telegram line]", text)
    text = _TOKENS.sub(REDACTED, text)
    text = _USER_INFO.sub(f"{REDACTED}@", text)
    text = _ASSIGNED.sub(rf"\1\2{REDACTED}", text)
    if not ids:
        text = _HEX_SECRET.sub(REDACTED, text)
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", _without_mnemonic(text))


def redact_value(key: str, value: object, depth: int = 0) -> object:
    """`value` as it may be shown under `key`."""
    if value is None or isinstance(value, bool):
        return value
    ids = bool(_ID_KEYS.search(key))
    if not ids and _SECRET_KEYS.search(key):
        return REDACTED
    if isinstance(value, int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return "0x" + bytes(value).hex() if ids and len(value) <= 32 else f"[{len(value)} bytes]"
    if isinstance(value, str):
        return redact_text(value, ids=ids)
    if depth >= _MAX_DEPTH:
        return "[too deep]"
    if isinstance(value, Mapping):
        return {redact_text(str(k)): redact_value(str(k), v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(key, item, depth + 1) for item in value]
    return redact_text(str(value), ids=ids)


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor. Line breaks survive in a traceback only."""
    for key, value in event.items():
        clean = redact_value(key, value)
        if isinstance(clean, str) and key not in ("exception", "stack"):
            clean = clean.replace("\n", "\\n")
        event[key] = clean
    return event
