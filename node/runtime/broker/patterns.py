"""Topic patterns: what they match, what they cover, and the rights of channels.md 7 as patterns.

A subscription filter is allowed when some pattern of the user covers it, that is when every topic that the filter can
match is matched by the pattern as well. Filters that begin with `$` (shared subscriptions, `$SYS`) are never covered:
`$share/g/#` would otherwise be a way around every pattern.

Meetings and cards are for those who know their name. A filter with a wildcard never matches one, whatever the user may
read, and one that ends in their kind is refused; or everybody who may read cards could list all households.
"""

from __future__ import annotations

from channels.transports.topics import Kind, Topic
from node.runtime.broker.errors import BrokerSettingsError

__all__ = ["check_pattern", "covers", "mail_rights", "matches", "meeting_rights", "reader_rights", "writer_rights"]

_MOST_BYTES = 512

_BY_NAME = frozenset({Kind.MEET.value, Kind.CARD.value})


def check_pattern(pattern: str) -> None:
    """Raise BrokerSettingsError for what is no pattern, or would break out of a line of an ACL file."""
    levels = pattern.split("/")
    if not pattern or len(pattern.encode()) > _MOST_BYTES or pattern.startswith("$") or not pattern.isprintable():
        raise BrokerSettingsError("a topic pattern is printable text that does not begin with $")
    if " " in pattern or any(("+" in level and level != "+") or ("#" in level and level != "#") for level in levels):
        raise BrokerSettingsError("in a topic pattern + and # stand for whole levels, and there are no spaces")
    if "#" in levels[:-1]:
        raise BrokerSettingsError("# is the last level of a topic pattern")


def covers(pattern: str, wanted: str) -> bool:
    """Whether every topic that `wanted` (a filter or a topic) matches is matched by `pattern`."""
    if wanted.startswith("$"):
        return False
    ours, theirs = pattern.split("/"), wanted.split("/")
    if theirs[-1] in _BY_NAME and "+" in theirs:
        return False
    for i, level in enumerate(ours):
        if level == "#":
            return True
        if i >= len(theirs) or theirs[i] == "#":
            return False
        if level != "+" and level != theirs[i]:
            return False
    return len(ours) == len(theirs)


def matches(filter_: str, topic: str) -> bool:
    """Whether a subscription filter matches a topic (MQTT 3.1.1, 4.7), and the topic may be found by it."""
    ours, theirs = filter_.split("/"), topic.split("/")
    if topic.startswith("$") and ours[0] in ("+", "#"):
        return False
    if theirs[-1] in _BY_NAME and ("+" in ours or ours[-1] == "#"):
        return False
    for i, level in enumerate(ours):
        if level == "#":
            return True
        if i >= len(theirs) or level not in ("+", theirs[i]):
            return False
    return len(ours) == len(theirs)


def _prefix(sid: bytes) -> str:
    return Topic(Kind.DATA, sid).name.removesuffix(f"/{Kind.DATA}")


def writer_rights(sid: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(publish, subscribe) of the one user that writes a stream.

    It hears its own topics as well: a foreign envelope there is how a second running copy is noticed.
    """
    prefix = _prefix(sid)
    own = tuple(f"{prefix}/{kind}" for kind in (Kind.COMMITS, Kind.DATA, Kind.CHECKPOINTS))
    publish = (*own, f"{prefix}/{Kind.CAPSULE}/+", f"{prefix}/{Kind.REPLAY}/+")
    return publish, (*own, f"{prefix}/{Kind.ASK}")


def reader_rights(sid: bytes, grant_id: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(publish, subscribe) of a reader: the stream, its own capsules and answers; it writes `ask` only."""
    stream = tuple(Topic(kind, sid).name for kind in (Kind.COMMITS, Kind.DATA, Kind.CHECKPOINTS))
    own = tuple(Topic(kind, sid, grant_id).name for kind in (Kind.CAPSULE, Kind.REPLAY))
    return (Topic(Kind.ASK, sid).name,), stream + own


def mail_rights(mailbox: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(publish, subscribe) of a node that takes parcels over the broker: it writes to everybody and reads its own, and
    reads the card of whoever it knows the mailbox of and shows its own."""
    write = (f"wattpact/v1/+/{Kind.MAIL}", Topic(Kind.CARD, mailbox).name)
    return write, (Topic(Kind.MAIL, mailbox).name, f"wattpact/v1/+/{Kind.CARD}")


def meeting_rights() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(publish, subscribe) of a node that pairs over the broker, at whichever meeting it knows the name of."""
    return (f"wattpact/v1/+/{Kind.MEET}",), (f"wattpact/v1/+/{Kind.MEET}",)
