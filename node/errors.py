"""Errors of the node: one root, three branches by who can do something about it.

NodeError                         failed            500  exit 1
├── CallerError                   the caller's fault; asking again the same way will not help
│   ├── UsageError                usage             400  exit 2
│   ├── InvalidInput              invalid_input     422  exit 2
│   ├── ConfigError               config            500  exit 3
│   ├── Unauthenticated           unauthenticated   401  exit 5
│   ├── Refused                   refused           403  exit 5
│   ├── NotFound                  not_found         404  exit 6
│   ├── Gone                      gone              410  exit 6
│   ├── Conflict                  conflict          409  exit 7
│   ├── TooLarge                  too_large         413  exit 2
│   └── UnsupportedMedia          unsupported_media 415  exit 2
├── RecoverableError              the world's fault; the same may succeed later
│   ├── Unreachable               unreachable       503  exit 4
│   │   ├── ChainUnreachable      chain_unreachable 503  exit 4
│   │   ├── BrokerUnreachable     broker_unreachable 503 exit 4
│   │   └── NodeUnreachable       node_unreachable  503  exit 4
│   ├── Busy                      busy              503  exit 7
│   ├── TooManyRequests           too_many_requests 429  exit 7
│   └── TooSlow                   too_slow          408  exit 4
└── FatalError                    fatal             500  exit 1; the task that raised it must not go on
    └── NeedsPerson               needs_person      503  exit 8

Other layers of the node derive theirs from these. Each carries a stable `code`, a sentence for people, a remedy, the
HTTP status and the process exit code; none carries secrets, because every one may reach a log or a foreign screen.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

__all__ = [
    "BrokerUnreachable",
    "Busy",
    "CallerError",
    "ChainUnreachable",
    "ConfigError",
    "Conflict",
    "ExitCode",
    "FatalError",
    "Gone",
    "InvalidInput",
    "NeedsPerson",
    "NodeError",
    "NodeUnreachable",
    "NotFound",
    "RecoverableError",
    "Refused",
    "TooLarge",
    "TooManyRequests",
    "TooSlow",
    "Unauthenticated",
    "Unreachable",
    "UnsupportedMedia",
    "UsageError",
]


class ExitCode(IntEnum):
    """What a process of ours returns to its caller; stable within a major version."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    NOT_REACHABLE = 4
    REFUSED = 5
    NOT_FOUND = 6
    BUSY = 7
    NEEDS_PERSON = 8


class NodeError(Exception):
    """Root of the node's errors.

    `message` is one sentence for people, `remedy` says what to do next, `field` names the offending input (a dotted
    path or a parameter), if there is one. `proof` is what a node signed of it, for whoever asked over other hands; of
    somebody else's answer it is whatever stood there.
    """

    code: ClassVar[str] = "failed"
    status: ClassVar[int] = 500
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED
    default_remedy: ClassVar[str] = "Look at the node's log; the request id there leads to the cause."

    def __init__(self, message: str, *, remedy: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = self.default_remedy if remedy is None else remedy
        self.field = field
        self.proof: object = None


class CallerError(NodeError):
    """Asking again the same way will not help."""

    code = "usage"
    status = 400
    exit_code = ExitCode.USAGE
    default_remedy = "Correct the request and send it again."


class UsageError(CallerError):
    """A command or call that makes no sense as it stands."""


class InvalidInput(CallerError):
    """The shape was right, the value is not allowed."""

    code = "invalid_input"
    status = 422


class ConfigError(CallerError):
    """The configuration cannot be used."""

    code = "config"
    status = 500
    exit_code = ExitCode.CONFIG
    default_remedy = "Run `wattpact config check` and correct what it names."


class Unauthenticated(CallerError):
    """No token, or one that is unknown, ended or revoked."""

    code = "unauthenticated"
    status = 401
    exit_code = ExitCode.REFUSED
    default_remedy = "Send a valid token as `Authorization: Bearer ...`; `wattpact token create` makes one."


class Refused(CallerError):
    """Known, but not allowed to do this."""

    code = "refused"
    status = 403
    exit_code = ExitCode.REFUSED
    default_remedy = "Use an account or token that has this right."


class NotFound(CallerError):
    """There is no such thing, or it belongs to somebody else; the two are not told apart."""

    code = "not_found"
    status = 404
    exit_code = ExitCode.NOT_FOUND
    default_remedy = "Check the identifier."


class Gone(CallerError):
    """It was there and is over for good: an ended request, a used code."""

    code = "gone"
    status = 410
    exit_code = ExitCode.NOT_FOUND
    default_remedy = "Start anew; this one cannot be revived."


class Conflict(CallerError):
    """The state of things forbids it: already granted, already paired, same key with another body."""

    code = "conflict"
    status = 409
    exit_code = ExitCode.BUSY
    default_remedy = "Look at the present state before trying again."


class TooLarge(CallerError):
    """More bytes than this entrance takes."""

    code = "too_large"
    status = 413
    default_remedy = "Send less."


class UnsupportedMedia(CallerError):
    """The body is of a type that this entrance does not read."""

    code = "unsupported_media"
    status = 415
    default_remedy = "Send the content type that the API description names."


class RecoverableError(NodeError):
    """The same may succeed later without anybody changing anything of ours."""

    code = "busy"
    status = 503
    exit_code = ExitCode.BUSY
    default_remedy = "Try again in a moment."


class Unreachable(RecoverableError):
    """Something at the other end of a wire does not answer."""

    code = "unreachable"
    exit_code = ExitCode.NOT_REACHABLE


class ChainUnreachable(Unreachable):
    """No RPC node answers, or none that can be believed."""

    code = "chain_unreachable"
    default_remedy = "Check [chain] rpc_urls and whether the RPC node runs; the node goes on trying."


class BrokerUnreachable(Unreachable):
    """The MQTT broker does not answer."""

    code = "broker_unreachable"
    default_remedy = "Check [broker] url, user and password file; the node goes on trying."


class NodeUnreachable(Unreachable):
    """A Wattpact node, our own or another's, does not answer."""

    code = "node_unreachable"
    default_remedy = "Start it with `wattpact run`, or name its data folder with --data-dir."


class Busy(RecoverableError):
    """Somebody else holds what is needed, a lock for example."""


class TooManyRequests(RecoverableError):
    """One address or one account asked too often; `retry_after` seconds later it may go on."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, *, retry_after: int = 1, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class TooSlow(RecoverableError):
    """The peer did not send its request in time."""

    code = "too_slow"
    status = 408
    exit_code = ExitCode.NOT_REACHABLE


class FatalError(NodeError):
    """Going on could do harm; the task that raised it stops."""

    code = "fatal"


class NeedsPerson(FatalError):
    """Only a person can decide how to go on: a guard tripped, a history is missing, two copies run."""

    code = "needs_person"
    status = 503
    exit_code = ExitCode.NEEDS_PERSON
    default_remedy = "Read the message, decide, and start the node again with the option it names."
