"""The users of the running broker; the table can change under it."""

from __future__ import annotations

from collections.abc import Iterable

from node.runtime.broker.errors import BrokerSettingsError
from node.runtime.broker.passwords import check_hash
from node.runtime.broker.patterns import covers
from node.runtime.broker.settings import BrokerUser

__all__ = ["UserTable"]


class _Rights:
    """Patterns, split so that the common case (a topic spelled out) is one look into a set."""

    __slots__ = ("exact", "wild")

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.wild = tuple(pattern for pattern in patterns if "+" in pattern or "#" in pattern)
        self.exact = frozenset(patterns) - frozenset(self.wild)

    def cover(self, wanted: str) -> bool:
        return wanted in self.exact or any(covers(pattern, wanted) for pattern in self.wild)


class UserTable:
    """Names to users. What is not allowed is forbidden."""

    def __init__(self, users: Iterable[BrokerUser]) -> None:
        self._users: dict[str, BrokerUser] = {}
        self._publish: dict[str, _Rights] = {}
        self._subscribe: dict[str, _Rights] = {}
        self.replace(users)

    def replace(self, users: Iterable[BrokerUser]) -> set[str]:
        """Put other users in the place of the present ones.

        Returns the names whose connections must end: those that are gone and those with another password.
        """
        table: dict[str, BrokerUser] = {}
        for user in users:
            if user.name in table:
                raise BrokerSettingsError(f"the broker user {user.name} is there twice")
            before = self._users.get(user.name)
            if before is None or before.password_hash != user.password_hash:
                check_hash(user.password_hash)
            table[user.name] = user
        ended = {
            name
            for name, user in self._users.items()
            if name not in table or table[name].password_hash != user.password_hash
        }
        self._users = table
        self._publish = {name: _Rights(user.publish) for name, user in table.items()}
        self._subscribe = {name: _Rights(user.subscribe) for name, user in table.items()}
        return ended

    def get(self, name: str) -> BrokerUser | None:
        """The user of this name."""
        return self._users.get(name)

    def may_publish(self, name: str | None, topic: str) -> bool:
        """Whether the user may publish to the topic."""
        rights = self._publish.get(name or "")
        return rights is not None and rights.cover(topic)

    def may_subscribe(self, name: str | None, filter_: str) -> bool:
        """Whether the user may subscribe to the filter; a topic is a filter for itself."""
        rights = self._subscribe.get(name or "")
        return rights is not None and rights.cover(filter_)
