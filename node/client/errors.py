"""Errors of the client library, beside those of `node.errors`.

CallerError (node.errors)
└── MarketRefused       the market answers with a problem; `code` and `status` are the market's own
"""

from __future__ import annotations

from node.errors import CallerError

__all__ = ["MarketRefused"]


class MarketRefused(CallerError):
    """The market does not take what was sent; asking again the same way will not help. `proof`: what it signed."""

    def __init__(self, url: str, status: int, code: str, detail: str, proof: object = None) -> None:
        super().__init__(f"{url} answers {status} {code}: {detail}")
        self.proof = proof
        self.status_code = status
        self.remote_code = code
