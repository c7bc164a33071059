"""The channel's half of `wattpact verify`: the log against what the chain says (channels.md 3).

Nothing is decrypted. What a log alone cannot show: that its end is the end (later envelopes may be held back), and that
the newest envelopes, which no checkpoint covers yet, are the writer's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from channels.checkpoint import Checkpoint
from channels.commit import NO_COMMIT, Commit, Header, verify_commit_signature
from channels.envelope import FIRST_HASH, SIGNATURE_BYTES, EnvelopeHeader, signed_message
from channels.errors import FormatError, SignatureRejected
from keys.errors import KeysError
from keys.messages import Domain
from keys.stream_key import stream_key_hash, verify_stream_signature
from node.app.commands.chainproof import ChainSays
from node.app.commands.exported import ChannelLog, ExportedStreamKey
from node.app.commands.judgement import Judgement
from node.cli.factories import Finding

__all__ = ["read_log"]

_FALSE = "Do not rely on it: the log was changed, or it is not the log of this stream. Get it from another store."


@dataclass(frozen=True, slots=True)
class _Sealed:
    """One envelope that decodes."""

    header: EnvelopeHeader
    hash: bytes


def read_log(sid: bytes, domain: Domain, says: ChainSays, log: ChannelLog) -> list[Finding]:
    """Findings about stream keys, commits, envelopes and checkpoints."""
    keys, keys_finding = _keys(says, log)
    commits, commits_finding = _commits(sid, domain, says, keys, log.commits)
    reader = _Messages(sid, says, keys, commits)
    envelopes = reader.envelopes(log.envelopes)
    return [keys_finding, commits_finding, envelopes, reader.checkpoints(log.checkpoints)]


def _keys(says: ChainSays, log: ChannelLog) -> tuple[dict[bytes, ExportedStreamKey], Finding]:
    """Public keys by the hash that the chain has."""
    judge = Judgement("stream keys", _FALSE)
    wanted = {entitled.stream_key_hash for _, entitled in says.commits.values()}
    if says.entitled is not None:
        wanted.add(says.entitled.stream_key_hash)
    wanted.discard(bytes(32))
    keys: dict[bytes, ExportedStreamKey] = {}
    for index, key in enumerate(log.keys):
        try:
            found = stream_key_hash(key.ed25519, key.ml_dsa)
        except KeysError as error:
            judge.fault(f"key {index}: {error}")
            continue
        if found not in wanted:
            judge.fault(f"key {index} is not one that the chain names")
        keys[found] = key
    used = {entitled.stream_key_hash for _, entitled in says.commits.values()}
    for _ in used - keys.keys():
        judge.fault("a key that the chain names is missing")
    return keys, judge.finding(f"{len(keys)}, with the hash that the chain has")


def _commits(
    sid: bytes,
    domain: Domain,
    says: ChainSays,
    keys: Mapping[bytes, ExportedStreamKey],
    messages: Sequence[bytes],
) -> tuple[dict[int, Header], Finding]:
    """Headers of the commits by epoch; those that fail stay in, so that what hangs on them is looked at too.

    A reader's log begins where it joined: the chain has the hash that its first commit must name.
    """
    judge = Judgement("commits", _FALSE)
    headers: dict[int, Header] = {}
    expected, before, first_slot = 0, NO_COMMIT, 0
    for index, data in enumerate(messages):
        try:
            header = Header.decode(data)
        except FormatError as error:
            judge.fault(f"commit {index}: {error}")
            continue
        if not headers and header.epoch > 1 and header.epoch - 1 in says.commits:
            expected, before = header.epoch, says.commits[header.epoch - 1][0]
        expected = expected or 1
        chain = says.commits.get(header.epoch)
        key = keys.get(chain[1].stream_key_hash) if chain else None
        for fault in _commit_faults(sid, domain, says, data, b"" if key is None else key.ml_dsa):
            judge.fault(f"commit of epoch {header.epoch}: {fault}")
        if header.epoch != expected:
            judge.fault(f"the commit of epoch {header.epoch} stands where that of epoch {expected} should")
        if header.prev_commit_hash != before:
            judge.fault(f"the commit of epoch {header.epoch} does not name the one before it")
        if header.first_slot < first_slot:
            judge.fault(f"the commit of epoch {header.epoch} goes back to slot {header.first_slot}")
        expected, before, first_slot = header.epoch + 1, Commit.hash_of(data), header.first_slot
        headers.setdefault(header.epoch, header)
    for epoch in sorted(says.commits.keys() - headers.keys()):
        if epoch >= min(headers, default=0):
            judge.fault(f"epoch {epoch} is on the chain, its commit is missing")
    span = f"epochs {min(headers)} to {max(headers)}, " if headers else ""
    return headers, judge.finding(f"{len(headers)}, {span}signed by the writer, each with its hash on the chain")


def _commit_faults(sid: bytes, domain: Domain, says: ChainSays, data: bytes, ml_dsa_public: bytes) -> Iterator[str]:
    header = Header.decode(data)
    if header.sid != sid:
        yield "it is about another stream"
    chain = says.commits.get(header.epoch)
    if chain is None:
        yield f"the chain has no epoch {header.epoch}"
        return
    commit_hash, entitled = chain
    if Commit.hash_of(data) != commit_hash:
        yield "its hash is not the one on the chain"
    try:
        # Signature first: only then are the arrays parsed (channels.md 3).
        verify_commit_signature(data, header, domain, entitled.writer, ml_dsa_public)
        Commit.decode(data, header)
    except (SignatureRejected, FormatError) as error:
        yield str(error)


class _Messages:
    """Envelopes and the checkpoints over them."""

    def __init__(
        self, sid: bytes, says: ChainSays, keys: Mapping[bytes, ExportedStreamKey], commits: Mapping[int, Header]
    ) -> None:
        self._sid = sid
        self._says = says
        self._keys = keys
        self._commits = commits
        self._sealed: dict[int, _Sealed] = {}
        self._seqs: list[int] = []

    def _key(self, epoch: int) -> ExportedStreamKey | None:
        """The stream key of whoever was entitled to write this epoch."""
        chain = self._says.commits.get(epoch)
        return self._keys.get(chain[1].stream_key_hash) if chain else None

    def envelopes(self, messages: Sequence[bytes]) -> Finding:
        judge = Judgement("envelopes", _FALSE)
        before: _Sealed | None = None
        for index, data in enumerate(messages):
            try:
                epoch = EnvelopeHeader.decode(data).epoch
                key = self._key(epoch)
                header = EnvelopeHeader.decode(data, key is not None and key.signed_envelopes)
            except FormatError as error:
                judge.fault(f"envelope {index}: {error}")
                continue
            sealed = _Sealed(header, sha256(data).digest())
            if key is not None and key.signed_envelopes and not _is_signed(key, data):
                judge.fault(f"envelope {header.seq} is not signed by the stream key")
            for fault in (*self._epoch_faults(header), *_chain_faults(before, header)):
                judge.fault(f"envelope {header.seq} {fault}")
            self._sealed.setdefault(header.seq, sealed)
            before = sealed
        self._seqs = sorted(self._sealed)
        span = f", {self._seqs[0]} to {self._seqs[-1]}" if self._seqs else ""
        return judge.finding(f"{len(self._sealed)}{span}, in one chain of hashes")

    def _epoch_faults(self, header: EnvelopeHeader) -> Iterator[str]:
        if header.sid != self._sid:
            yield "is about another stream"
        commit, following = self._commits.get(header.epoch), self._commits.get(header.epoch + 1)
        if commit is None or header.epoch not in self._says.commits:
            yield f"is sealed under epoch {header.epoch}, which does not exist"
        elif header.slot < commit.first_slot:
            yield f"is in slot {header.slot}, before the first one of epoch {header.epoch}"
        # One slot may be split between two epochs; a later slot under the old one is what revocation must prevent.
        if following is not None and header.slot > following.first_slot:
            yield f"is in slot {header.slot}, in which epoch {header.epoch} was over"

    def checkpoints(self, messages: Sequence[bytes]) -> Finding:
        judge = Judgement("checkpoints", _FALSE)
        found: list[Checkpoint] = []
        for index, data in enumerate(dict.fromkeys(messages)):
            try:
                checkpoint = Checkpoint.decode(data)
                key = self._key(checkpoint.epoch)
                if key is None:
                    judge.fault(f"checkpoint {index}: no stream key is known for epoch {checkpoint.epoch}")
                    continue
                Checkpoint.verify(data, key.ed25519 + key.ml_dsa)
            except (FormatError, SignatureRejected) as error:
                judge.fault(f"checkpoint {index}: {error}")
                continue
            for fault in self._checkpoint_faults(checkpoint):
                judge.fault(f"checkpoint {index}: {fault}")
            found.append(checkpoint)
        covered = self._coverage(judge, found)
        open_count = len(self._sealed) - covered
        return judge.finding(
            f"{len(found)}, signed by the stream key; {covered} envelopes final, {open_count} provisional"
        )

    def _checkpoint_faults(self, checkpoint: Checkpoint) -> Iterator[str]:
        if checkpoint.sid != self._sid:
            yield "it is about another stream"
        if not self._seqs:
            return
        seqs = self._seqs
        if checkpoint.last_seq > seqs[-1]:
            yield f"it signs for envelope {checkpoint.last_seq}, the log ends with {seqs[-1]}"
        sealed = self._sealed.get(checkpoint.last_seq)
        if sealed is not None and sealed.hash != checkpoint.last_hash:
            yield f"it signs for another envelope {checkpoint.last_seq}"
        # Numbers come from the file: what is looked through is what is there, however long the run claims to be.
        for seq in seqs[bisect_left(seqs, checkpoint.first_seq) : bisect_right(seqs, checkpoint.last_seq)]:
            inside = self._sealed[seq].header
            if (inside.epoch, inside.slot) != (checkpoint.epoch, checkpoint.slot):
                yield f"envelope {seq} is of another epoch or slot"

    def _coverage(self, judge: Judgement, checkpoints: Sequence[Checkpoint]) -> int:
        """How many of the envelopes are final. Runs follow each other: one that is left out was taken away."""
        if not self._seqs:
            return 0
        covered = self._seqs[0] - 1
        for checkpoint in sorted(checkpoints, key=lambda each: (each.first_seq, each.count)):
            if checkpoint.first_seq > covered + 1:
                judge.fault(f"none covers envelopes {covered + 1} to {checkpoint.first_seq - 1}")
            covered = max(covered, checkpoint.last_seq)
        return bisect_right(self._seqs, covered)


def _chain_faults(before: _Sealed | None, header: EnvelopeHeader) -> Iterator[str]:
    if before is None:
        if header.seq == 1 and header.prev_hash != FIRST_HASH:
            yield "is the first and names one before it"
        return
    if header.seq != before.header.seq + 1:
        yield f"comes after envelope {before.header.seq}"
    elif header.prev_hash != before.hash:
        yield "names another envelope before it than the log has"
    if (header.epoch, header.slot) < (before.header.epoch, before.header.slot):
        yield "goes back to an earlier epoch"
    if header.slot < before.header.slot:
        yield "goes back to an earlier slot"


def _is_signed(key: ExportedStreamKey, data: bytes) -> bool:
    try:
        verify_stream_signature(key.ed25519, signed_message(data[:-SIGNATURE_BYTES]), data[-SIGNATURE_BYTES:])
    except KeysError:
        return False
    return True
