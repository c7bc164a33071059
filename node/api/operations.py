"""The REST interface as data: one table of operations from which both the routes and the OpenAPI document are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel

from node.api.facade import NodeFacade
from node.api.tokens import Scope, Tokens
from node.errors import InvalidInput
from node.types import HASH_BYTES, address_from_text, from_hex

__all__ = [
    "PAGE_PARAMETERS",
    "Access",
    "Answer",
    "BinaryBody",
    "Call",
    "EventStream",
    "FileAnswer",
    "Operation",
    "Parameter",
    "Streaming",
    "parse_parameter",
]

# `open`: no token, but rate-limited per address; `public`: no token, cheap, not limited; `meter`: open for what is
# sealed, and whoever shows a token must have the scope asset:meter.
Access = Scope | Literal["open", "local", "public", "meter"]
BinaryBody: Final = "application/octet-stream"
_SECRET_ANSWERS: Final = frozenset({"addWebhook", "createToken", "linkSession", "newPairingCode"})
_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter, or the description of one in the path."""

    name: str
    kind: Literal["hash", "time", "count", "number", "text"]
    description: str
    location: Literal["query", "path"] = "query"


_MOST: Final = 1_000
PAGE_PARAMETERS: Final = (
    Parameter("limit", "count", f"at most {_MOST}, which is the default"),
    Parameter("before", "number", "`next` of the former page"),
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a handler sees it: checked parameters and body, never the raw request.

    `caller` is the id of the token that was shown, if one was; `sessions` makes links to the pages.
    """

    facade: NodeFacade
    tokens: Tokens
    values: Mapping[str, Any]
    body: Any
    peer: str
    feed: Any = None
    settlement: Any = None
    caller: str = ""
    sessions: Any = None

    def form(self, model: type[_M]) -> _M:
        """The body, which was checked against the operation's model."""
        if not isinstance(self.body, model):
            raise InvalidInput("The request needs a JSON body.")
        return self.body

    def period(self) -> tuple[int, int]:
        """The query's `from` and `to`, seconds UTC. Raises InvalidInput where one is missing or none is later."""
        for name in ("from", "to"):
            if name not in self.values:
                raise InvalidInput(f"{name} is missing.", field=name)
        if self.values["from"] >= self.values["to"]:
            raise InvalidInput("to must be later than from.", field="to")
        return self.values["from"], self.values["to"]

    def page(self) -> tuple[int | None, int]:
        """The part of a long list that is asked for: below which number, None for the newest, and at most how many."""
        return self.values.get("before"), min(self.values.get("limit", _MOST), _MOST)

    def account(self, name: str) -> bytes | None:
        """An address in the query (20 bytes), if it is there. Raises InvalidInput for anything else."""
        if name not in self.values:
            return None
        try:
            return bytes(address_from_text(self.values[name]))
        except ValueError as error:
            raise InvalidInput(f"{name} {error}.", field=name) from None

    def choice(self, name: str, known: Sequence[str], default: str) -> str:
        """One of the known words. Raises InvalidInput, naming them."""
        found: str = self.values.get(name, default)
        if found not in known:
            raise InvalidInput(f"{name} is one of {', '.join(known)}.", field=name)
        return found


@dataclass(frozen=True, slots=True)
class Streaming:
    """An answer that goes on. `serve` gets the request and a check that raises once the token no longer holds."""

    serve: Callable[[web.Request, Callable[[], Awaitable[None]]], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class EventStream:
    """How the API description shows such an answer: many of `item`, called `name` in a WebSocket's messages."""

    item: type[BaseModel]
    websocket: bool = False
    name: str = "event"


class FileAnswer:
    """How the API description shows an answer that is a file, in pieces."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A model, a JSON object, bytes or a stream, and a status if not the operation's."""

    content: BaseModel | dict[str, Any] | bytes | Streaming | None
    status: int | None = None


Handler = Callable[[Call], Awaitable[Answer | BaseModel]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of the table. `body`: a model or BinaryBody; `answer`: a model, BinaryBody, `dict`, a stream or None."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    name: str
    access: Access
    summary: str
    handler: Handler
    answer: type[BaseModel] | type[dict[str, Any]] | type[FileAnswer] | EventStream | str | None
    body: type[BaseModel] | str | None = None
    status: int = 200
    tag: str = "node"
    parameters: tuple[Parameter, ...] = field(default=())

    @property
    def idempotent_key(self) -> bool:
        """Whether an Idempotency-Key is honoured. Not where the answer is a secret that must not be kept."""
        known = self.access not in ("open", "local", "public")
        return self.method == "POST" and known and self.name not in _SECRET_ANSWERS


def parse_parameter(parameter: Parameter, text: str) -> bytes | int | str:
    """Raises InvalidInput that names the parameter."""
    try:
        if parameter.kind == "hash":
            return from_hex(text, HASH_BYTES)
        if parameter.kind == "time":
            return _time(text)
        if parameter.kind == "count":
            return _count(text)
        if parameter.kind == "number":
            return _number(text)
    except ValueError as error:
        raise InvalidInput(f"{parameter.name} {error}.", field=parameter.name) from None
    if not text or len(text) > 200 or not text.isprintable():
        raise InvalidInput(f"{parameter.name} must be 1 to 200 printable characters.", field=parameter.name)
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 10_000 and len(text) <= 5):
        raise ValueError("must be a number from 1 to 10000")
    return int(text)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError("must be a number from 0")
    return int(text)


def _time(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 13:
        seconds = int(text)
    else:
        try:
            # A plus sign that was not percent-encoded arrives as a space.
            moment = datetime.fromisoformat(text.replace(" ", "+"))
        except ValueError:
            raise ValueError("must be seconds since 1970, or a time such as 2026-01-01T00:00:00Z") from None
        if moment.tzinfo is None:
            raise ValueError("must name its offset from UTC: 2026-01-01T00:00:00Z")
        seconds = int(moment.timestamp())
    if not 0 <= seconds < 2**40:
        raise ValueError("must be a time after 1970")
    return seconds
