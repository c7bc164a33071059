"""A member's walk through the commits: verify in a fixed order, then move (channels.md 4, rule 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import NamedTuple, Protocol

from channels.alarms import Forked, TooManyLeaves, WrongChainHash
from channels.commit import Commit, Header, confirmation
from channels.errors import CommitGap, CommitNotOnChain, CommitRejected, FormatError, ReaderRemoved
from channels.path import Path
from channels.second_signature import check_version
from channels.shared import ALONE, Shared
from channels.slots import StreamParams

__all__ = ["ChainFacts", "Entered", "Follower"]


class ChainFacts(Protocol):
    """What the reader's own view of the chain says about this stream, at head."""

    def commit_hash(self, epoch: int) -> bytes | None:
        """The committed hash of an epoch, None while the chain does not show it."""
        ...

    def live_grants(self, block: int) -> int:
        """How many grants of the stream were live after `block`."""
        ...


class Entered(NamedTuple):
    """An epoch that a commit opened: its secret and its header."""

    header: Header
    secret: bytes


@dataclass(frozen=True, slots=True)
class Follower:
    """Where a member stands. Every step returns a new value, so a commit that fails anywhere changes nothing.

    epoch and head: the newest commit followed. n_live: its number of leaves, None right after a capsule.
    removed_in: the epoch that removed this leaf, 0 while it is a member. newest: the last commit's bytes, evidence
    of a fork.
    """

    path: Path
    epoch: int
    head: bytes
    n_live: int | None = None
    removed_in: int = 0
    newest: bytes = b""

    def follow(
        self, params: StreamParams, data: bytes, facts: ChainFacts, shared: Shared = ALONE
    ) -> tuple[Follower, Entered]:
        """One commit, in the order of rule 6.

        FormatError, SignatureRejected, CommitRejected (with an alarm where there is evidence), CommitGap,
        CommitNotOnChain; ReaderRemoved when the commit removes this leaf (use `left` then).
        """
        header = shared.header(data)
        self._expect(params, data, header)
        commit_hash = shared.signed_hash(params, data, header)
        commit = shared.commit(data, header)
        self._check_predecessor(commit)
        _check_chain(commit_hash, data, header, facts)
        return self._step(commit)

    def catch_up(
        self, params: StreamParams, log: Sequence[bytes], facts: ChainFacts, shared: Shared = ALONE
    ) -> tuple[Follower, list[Entered]]:
        """Many commits in order: the newest one's signature and chain hash vouch for the older through the hash chain.

        Errors as in `follow`; nothing moves unless all hold. A removal on the way raises ReaderRemoved with the epoch.
        """
        if not log:
            return self, []
        header = shared.header(log[-1])
        newest_hash = shared.signed_hash(params, log[-1], header)
        _check_chain(newest_hash, log[-1], header, facts)
        headers = [shared.header(data) for data in log]
        expected = newest_hash
        for data, older in zip(reversed(log), reversed(headers), strict=True):
            if not compare_digest(shared.commit_hash(data), expected):
                raise CommitRejected(
                    "the commits do not form one chain", Forked("commit", older.epoch, (data, log[-1]))
                )
            expected = older.prev_commit_hash
        at, entered = self, []
        for data, header in zip(log, headers, strict=True):
            at._expect(params, data, header)
            commit = shared.commit(data, header)
            at._check_predecessor(commit)
            at, step = at._step(commit)
            entered.append(step)
        return at, entered

    def left(self, epoch: int) -> Follower:
        """The state of a member that was removed in `epoch`, without its path keys."""
        return replace(self, path=Path(self.path.leaf, [bytes(32)] * len(self.path.keys)), removed_in=epoch)

    def _expect(self, params: StreamParams, data: bytes, header: Header) -> None:
        """The commit is the next one of this stream."""
        if header.sid != params.sid:
            raise CommitRejected("the commit belongs to another stream")
        check_version(header.version, params.at(header.epoch).ml_dsa_public, f"the commit of epoch {header.epoch}")
        if self.removed_in:
            raise ReaderRemoved(self.removed_in)
        if header.epoch <= self.epoch:
            raise CommitRejected(f"epoch {header.epoch} was followed already", self._older(header, data, params))
        if header.epoch > self.epoch + 1:
            raise CommitGap(f"commits {self.epoch + 1} to {header.epoch - 1} are missing")

    def _older(self, header: Header, data: bytes, params: StreamParams) -> Forked | None:
        """A second, signed commit for the present epoch is evidence; anything older cannot be compared."""
        if header.epoch != self.epoch or Commit.hash_of(data) == self.head:
            return None
        ALONE.signed_hash(params, data, header)
        return Forked("commit", header.epoch, tuple(item for item in (self.newest, data) if item))

    def _check_predecessor(self, commit: Commit) -> None:
        header = commit.header
        if not compare_digest(header.prev_commit_hash, self.head):
            evidence = tuple(item for item in (self.newest, commit.data) if item)
            raise CommitRejected("the commit follows another one", Forked("commit", header.epoch, evidence))
        if self.n_live is not None:
            gone = sum(count for _, count in commit.body.removed)
            if header.n_live != self.n_live - gone + header.n_add:
                raise CommitRejected("the number of live leaves does not add up")

    def _step(self, commit: Commit) -> tuple[Follower, Entered]:
        header = commit.header
        if header.n_live == 0:
            raise ReaderRemoved(header.epoch)
        path, secret = self.path.follow(commit)
        if not compare_digest(confirmation(secret, header.sid, header.epoch, commit.confirmed_hash), commit.confirm):
            raise CommitRejected("the commit does not confirm its epoch secret")
        after = Follower(path, header.epoch, commit.commit_hash, header.n_live, 0, commit.data)
        return after, Entered(header, secret)


def _check_chain(commit_hash: bytes, data: bytes, header: Header, facts: ChainFacts) -> None:
    shown = facts.commit_hash(header.epoch)
    if shown is None:
        raise CommitNotOnChain(f"the chain does not show epoch {header.epoch} yet")
    if len(shown) != 32:
        raise FormatError("a commit hash has 32 bytes")
    if not compare_digest(shown, commit_hash):
        alarm = WrongChainHash(header.epoch, shown, (data,))
        raise CommitRejected(f"the chain shows another commit for epoch {header.epoch}", alarm)
    allowed = 1 + facts.live_grants(header.grant_block)
    if header.n_live > allowed:
        leaves = TooManyLeaves(header.epoch, header.n_live, allowed, (data,))
        raise CommitRejected(f"{header.n_live} live leaves, but {allowed} may be", leaves)
