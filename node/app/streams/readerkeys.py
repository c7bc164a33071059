"""A reader's private keys: from the consent until every capsule was taken, then again for a resync."""

from __future__ import annotations

import os

from keys.errors import EntryMissing
from keys.keystore import Keystore
from keys.sealing import SealingKey
from node.app.core import Core

__all__ = ["OwnKey", "StoredKey", "consent_key_name", "destroy_keys", "refresh_key_name"]

TAKEN = "capsule_taken"
"""Namespace of facts: the streams of a consent whose capsule was taken, by the name of its key."""


def consent_key_name(request_id: bytes) -> str:
    """The keystore entry of a consent's key."""
    return f"reader-{request_id.hex()}"


def refresh_key_name(request_id: bytes, key_hash: bytes) -> str:
    """The keystore entry of a refreshed key of a consent; each refresh has its own."""
    return f"{_refreshed(request_id)}{key_hash.hex()[:24]}"


def _refreshed(request_id: bytes) -> str:
    return f"refresh-{request_id.hex()[:24]}-"


def destroy_keys(keystore: Keystore, request_id: bytes) -> None:
    """Every private key of a consent goes, those of refreshes and resyncs too; nothing happens when none is left."""
    beginnings = (consent_key_name(request_id), _refreshed(request_id), _resync(request_id))
    for name in keystore.names():
        if name.startswith(beginnings):
            keystore.delete(name)


def _resync(request_id: bytes) -> str:
    return f"resync-{request_id.hex()[:24]}-"


class StoredKey:
    """The key of one stream under one consent. Implements `KeyPort`.

    One consent has one key for all its streams, so it is deleted when the last of their capsules was taken
    (channels.md 4, rule 6); a refreshed key likewise. A resync has a key of its own, which is deleted with its capsule.
    """

    def __init__(self, core: Core, request_id: bytes, sid: bytes, sids: tuple[bytes, ...]) -> None:
        self._core = core
        self._name = consent_key_name(request_id)
        self._refreshed = _refreshed(request_id)
        self._fresh = f"{_resync(request_id)}{sid.hex()[:24]}"
        self._sid = sid
        self._sids = sids

    @property
    def lasting(self) -> bool:
        """See KeyPort.lasting."""
        return False

    def key(self, *, resync: bool) -> tuple[SealingKey, bytes] | None:
        """See KeyPort.key."""
        keystore = self._core.keys.keystore
        if resync:
            try:
                secret = keystore.get(self._fresh)
            except EntryMissing:
                return None
            return SealingKey.from_bytes(secret[32:]), secret[:32]
        name = self._present()
        return None if name is None else (SealingKey.from_bytes(keystore.get(name)), bytes(32))

    def _present(self) -> str | None:
        """The entry of the key that the next Welcome is sealed to: a refresh is made once the first key is gone."""
        names = self._core.keys.keystore.names()
        refreshed = [name for name in names if name.startswith(self._refreshed)]
        return next(iter(refreshed), self._name if self._name in names else None)

    def renew(self) -> tuple[bytes, bytes]:
        """See KeyPort.renew."""
        self._drop(self._fresh)
        request_id, fresh = os.urandom(32), SealingKey.generate()
        self._core.keys.keystore.put(self._fresh, "resync", request_id + fresh.to_bytes())
        return request_id, fresh.public_bytes

    async def delete(self) -> None:
        """See KeyPort.delete."""
        self._drop(self._fresh)
        facts, name = self._core.storage.memory.facts, self._present() or self._name
        taken = set(await facts.get(TAKEN, name) or []) | {self._sid.hex()}
        await facts.set(TAKEN, name, sorted(taken))
        if taken >= {sid.hex() for sid in self._sids}:
            self._drop(name)

    def _drop(self, name: str) -> None:
        try:
            self._core.keys.keystore.delete(name)
        except EntryMissing:
            return


class OwnKey:
    """The household's own key follows from its phrase: what it opens is the household's anyway; a `KeyPort`."""

    def __init__(self, key: SealingKey) -> None:
        self._key = key
        self._resync: tuple[SealingKey, bytes] | None = None

    @property
    def lasting(self) -> bool:
        """See KeyPort.lasting."""
        return True

    def key(self, *, resync: bool) -> tuple[SealingKey, bytes] | None:
        """See KeyPort.key."""
        return self._resync if resync else (self._key, bytes(32))

    def renew(self) -> tuple[bytes, bytes]:
        """See KeyPort.renew."""
        request_id, fresh = os.urandom(32), SealingKey.generate()
        self._resync = (fresh, request_id)
        return request_id, fresh.public_bytes

    async def delete(self) -> None:
        """Nothing to delete but a resync's key: whoever has the phrase is the owner."""
        self._resync = None
