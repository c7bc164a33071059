"""What all readers of one stream in a process would work out alike, worked out once.

A provider may hold hundreds of grants on one stream. Each has its own place in the key tree, but the commits, the
checkpoints and the envelopes are the same bytes: signatures, hash chains and parsing need one pass, and only the way
through the tree and what may be opened is each grant's own.

Only what passed is remembered, under everything that the answer depends on: the bytes, the public keys, and for
envelopes what only the holder of their message key can name. So a reader gets nothing here that it could not have
worked out itself, and a reader without a key gets nothing at all.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import TypeVar

from channels.checkpoint import Checkpoint
from channels.commit import Commit, Header, verify_commit_signature
from channels.envelope import PREV_HASH, SlotCipher
from channels.slots import StreamParams
from keys.stream_key import verify_stream_signature

__all__ = ["ALONE", "Shared"]

K = TypeVar("K")
V = TypeVar("V")


class Shared:
    """Work of the readers of one stream. Hand the same one to each `Reader`; not safe for use from several threads.

    `kept`, or what `keep` says later: how many commits are remembered, with an eighth as many checkpoints and eight
    times as many envelopes; 0 for a reader that shares with nobody.
    """

    __slots__ = ("_checkpoints", "_commits", "_kept", "_opened", "_runs", "_signed")

    def __init__(self, kept: int = 512) -> None:
        self._kept = kept
        self._commits: dict[bytes, Commit] = {}
        self._signed: dict[Hashable, bytes] = {}
        self._checkpoints: dict[Hashable, Checkpoint] = {}
        self._runs: dict[Hashable, tuple[list[bytes], list[bytes], bytes]] = {}
        self._opened = 0  # envelopes in all runs

    def keep(self, kept: int) -> None:
        """From now on remember so many commits, as with `kept`."""
        self._kept = kept

    def header(self, data: bytes) -> Header:
        """As `Header.decode`."""
        known = self._commits.get(data)
        return known.header if known is not None else Header.decode(data)

    def commit_hash(self, data: bytes) -> bytes:
        """As `Commit.hash_of`."""
        known = self._commits.get(data)
        return known.commit_hash if known is not None else Commit.hash_of(data)

    def commit(self, data: bytes, header: Header) -> Commit:
        """As `Commit.decode`: call it after the signature, or a hash chain up to a signature, was checked."""
        known = self._commits.get(data)
        if known is None:
            known = Commit.decode(data, header)
            _remember(self._commits, data, known, self._kept)
        return known

    def signed_hash(self, params: StreamParams, data: bytes, header: Header) -> bytes:
        """As `verify_commit_signature` by the writer of the commit's epoch."""
        now = params.at(header.epoch)
        key = (data, now.domain, now.writer, now.ml_dsa_public)
        known = self._signed.get(key)
        if known is None:
            known = verify_commit_signature(data, header, now.domain, now.writer, now.ml_dsa_public)
            _remember(self._signed, key, known, self._kept)
        return known

    def checkpoint(self, data: bytes, stream_public: bytes) -> Checkpoint:
        """As `Checkpoint.verify`."""
        key = (data, stream_public)
        known = self._checkpoints.get(key)
        if known is None:
            known = Checkpoint.verify(data, stream_public)
            _remember(self._checkpoints, key, known, self._kept // 8)
        return known

    def open_chain(
        self, cipher: SlotCipher, envelopes: Sequence[bytes], start: int, place: tuple[int, bytes], public: bytes
    ) -> tuple[list[bytes], bytes]:
        """As `SlotCipher.open_chain` from the place (seq, hash of the envelope before).

        `public`: the stream key where each envelope is signed, else empty.
        """
        key = (cipher.mark, place, public)
        known = self._runs.get(key)
        if known is not None:
            run, plaintexts, tip = known
            count = min(len(run), len(envelopes) - start)
            if list(envelopes[start : start + count]) == run[:count]:
                return plaintexts[:count], tip if count == len(run) else run[count][PREV_HASH]
        verify = partial(verify_stream_signature, public) if public else None
        plaintexts, tip = cipher.open_chain(envelopes, start, *place, verify)
        if plaintexts and self._kept:
            self._opened += len(plaintexts) - len(self._runs.pop(key, ((),))[0])
            self._runs[key] = (list(envelopes[start : start + len(plaintexts)]), plaintexts, tip)
            while self._opened > 8 * self._kept:
                self._opened -= len(self._runs.pop(next(iter(self._runs)))[0])
        return plaintexts, tip


def _remember(known: dict[K, V], key: K, value: V, kept: int) -> None:
    if not kept:
        return
    known[key] = value
    while len(known) > kept:
        del known[next(iter(known))]


ALONE = Shared(0)  # remembers nothing, so one is enough for everybody
