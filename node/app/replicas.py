"""The second stores of a node: its private log and its streams are copied there, and come back from there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from sqlalchemy.engine import make_url

from channels.errors import ChannelError, StoreUnavailable
from channels.private_log import PrivateLog
from channels.stores.records import Past
from channels.stores.replica import StreamCopy, restore_stream
from channels.stores.sql import SqlStore
from node.config import Settings
from node.errors import ConfigError, NodeUnreachable

__all__ = ["Replica", "Replicas"]

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Replica:
    """One second store. `store` is None while it cannot be reached; `fault` says why it lags, or is empty."""

    url: str
    store: SqlStore | None = None
    fault: str = ""
    mirrored: int = 0
    copies: dict[bytes, StreamCopy] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The address without its password."""
        return make_url(self.url).render_as_string(hide_password=True)


class Replicas:
    """Opens the configured stores, keeps them up to date, and gives back what the first store lost."""

    def __init__(self, primary: SqlStore, key: bytes, replicas: Iterable[Replica]) -> None:
        self.all = tuple(replicas)
        self._primary = primary
        self._key = key
        self._changing = asyncio.Lock()  # a copy on its way must not come back into a store that was erased

    @classmethod
    async def open(cls, settings: Settings, channels_url: str, primary: SqlStore, key: bytes) -> Replicas:
        """Opens every store that can be reached. Raises ConfigError for one that is the first store itself."""
        if any(make_url(url).database == make_url(channels_url).database for url in settings.replica_urls):
            raise ConfigError(
                "A replica cannot be the channel log itself.", remedy="Name another file or database.", field="replicas"
            )
        found = cls(primary, key, [Replica(url) for url in settings.replica_urls])
        for replica in found.all:
            await found._reach(replica)
        return found

    async def close(self) -> None:
        for replica in self.all:
            if replica.store is not None:
                await replica.store.close()
                replica.store = None

    async def _reach(self, replica: Replica) -> SqlStore | None:
        if replica.store is None:
            try:
                replica.store = await SqlStore.open(replica.url, self._key)
            except StoreUnavailable as error:
                self._lags(replica, str(error))
        return replica.store

    def _lags(self, replica: Replica, why: str) -> None:
        if why != replica.fault:
            replica.fault = why
            _log.warning("replica_lags", replica=replica.name, reason=why)

    async def recover_log(self, key: bytes) -> int:
        """Fetches what the first store lacks of the private log; before it is opened. Returns how many entries came.

        Raises NodeUnreachable when the first store has nothing at all and a replica cannot be asked: starting then
        would begin a second log with the numbers of the first.
        """
        came = 0
        for replica in self.all:
            if replica.store is not None:
                came += await PrivateLog.recover(self._primary, key, replica.store)
        if came:
            _log.warning("private_log_restored", entries=came)
        unreachable = [replica for replica in self.all if replica.store is None]
        if unreachable and await PrivateLog.is_empty(self._primary, key):
            raise NodeUnreachable(
                f"This node's own log is empty, and {unreachable[0].name}, which may hold it, is out of reach.",
                remedy="Bring it back, or take it out of storage.replicas if this node is new.",
            )
        return came

    async def restore(self, sid: bytes) -> int:
        """Brings a stream that the first store lost back; returns how many records came."""
        came = 0
        for replica in self.all:
            store = await self._reach(replica)
            if store is not None:
                came += await restore_stream(sid, store, self._primary)
        if came:
            _log.warning("stream_restored", sid=sid.hex()[:8], records=came)
        return came

    async def erase(self, sid: bytes, past: Past) -> int:
        """Erasure of a stream's past in every second store; returns how many there are.

        Raises StoreUnavailable while one cannot be reached: what lies there is not erased.
        """
        async with self._changing:
            for replica in self.all:
                store = await self._reach(replica)
                if store is None:
                    raise StoreUnavailable(f"{replica.name} cannot be reached: {replica.fault}")
                await store.erase_past(sid, past, capsules=())
                await store.scrub()
        return len(self.all)

    async def update(self, log: PrivateLog, sids: Iterable[bytes]) -> None:
        """Copies what is new to every store that can be reached; what keeps one back is told in its `fault`."""
        async with self._changing:
            await self._update(log, tuple(sids))

    async def _update(self, log: PrivateLog, sids: Iterable[bytes]) -> None:
        for replica in self.all:
            store = await self._reach(replica)
            if store is None:
                continue
            try:
                count = log.tip.count
                await log.mirror(store, replica.mirrored)
                replica.mirrored = count
                for sid in sids:
                    copy = replica.copies.setdefault(sid, StreamCopy(sid, self._primary, store))
                    await copy.run()
            except ChannelError as error:
                self._lags(replica, str(error))
            else:
                replica.fault = ""
