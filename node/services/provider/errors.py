"""Errors of asking for and using a consent.

CallerError (node.errors)
└── AnswerMismatch      the household's answer is not an answer to what was asked; nothing of it is used
"""

from __future__ import annotations

from node.errors import CallerError

__all__ = ["AnswerMismatch"]


class AnswerMismatch(CallerError):
    """The answer's grant, text or streams differ from the request or from each other."""

    code = "answer_mismatch"
    status = 409
