"""The digital twin of a trade (channels.md 7): each party's own signed, hash-chained log under one shared key. Pure.

::

    entry = body | sig 65
    body  = ver u16 | trade 32 | author 20 | inst 16 | seq u64 | prev_hash 32 | at u64
            | n u8 | (author 20 | seq u64 | hash 32)*n | AES-256-GCM(content | tag 16)      AAD = everything before
    key of an entry = KDF(twin key, "twin", trade | author | inst)                          nonce = u96 seq
    hash of an entry = H(body);  sig = EIP-712 `Statement` of the author over that hash

Numbers begin with 1, and 32 zero bytes precede the first entry. An entry names the newest entry of each other party
that its author had seen, in ascending order of their addresses: so nobody can show two histories to two parties
without both of them finding out, and whoever holds all logs holds one order of events. `inst` is drawn at every start,
so that a party that was restored from an old backup never uses a key and a nonce twice; its second entry under a number
is a fork like any other, and both entries are the evidence.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels.codec import LAST_SEQ, ByteReader, ByteWriter, require
from channels.errors import RejectedError, SignatureRejected, TwinForked, TwinGap, UsageError
from channels.kdf import KEY_BYTES, kdf, sha256
from keys.errors import KeysError
from keys.messages import Domain, Statement, verify

__all__ = ["MAX_CONTENT", "MAX_PARTIES", "Seen", "Told", "Twin", "TwinEntry", "twin_log_id"]

MAX_CONTENT = 32 * 1024
MAX_PARTIES = 16

_VERSION = 1
_TOPIC = "ckt1 twin"
_SIGNATURE = 65
_TAG = 16
_START = bytes(32)


@dataclass(frozen=True, slots=True, order=True)
class Seen:
    """The newest entry of another party that an author had seen."""

    author: bytes
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class TwinEntry:
    """One entry, sealed. `at` is its author's clock, seconds UTC: `seen`, not this, says what came first."""

    trade: bytes
    author: bytes
    instance: bytes
    seq: int
    previous: bytes
    at: int
    seen: tuple[Seen, ...]
    sealed: bytes
    signature: bytes = b""

    def head(self) -> bytes:
        """Everything before the ciphertext: its additional data."""
        out = ByteWriter().u16(_VERSION).raw(self.trade).raw(self.author).raw(self.instance)
        out.u64(self.seq).raw(self.previous).u64(self.at).u8(len(self.seen))
        for each in self.seen:
            out.raw(each.author).u64(each.seq).raw(each.hash)
        return out.done()

    @property
    def hash(self) -> bytes:
        """H(body), without the signature: signing the same twice is no fork."""
        return sha256(self.head() + self.sealed)

    def statement(self) -> Statement:
        """The typed message that the author signs."""
        return Statement(self.author, _TOPIC, self.hash, self.trade, self.at, self.at)

    def encode(self) -> bytes:
        """The entry as it travels and is stored."""
        return self.head() + self.sealed + self.signature

    @classmethod
    def decode(cls, data: bytes) -> TwinEntry:
        """Nothing but the form is checked. FormatError for anything but the canonical encoding."""
        reader = ByteReader(data)
        reader.version(_VERSION)
        trade, author, instance = reader.raw(32), reader.raw(20), reader.raw(16)
        seq, previous, at = reader.u64(), reader.raw(32), reader.u64()
        count = reader.u8()
        require(count < MAX_PARTIES, f"an entry names at most {MAX_PARTIES - 1} other parties")
        seen = tuple(Seen(reader.raw(20), reader.u64(), reader.raw(32)) for _ in range(count))
        authors = [each.author for each in seen]
        require(authors == sorted(set(authors)) and author not in authors, "the others are named once, in order")
        require(0 < seq <= LAST_SEQ and all(0 < each.seq <= LAST_SEQ for each in seen), "entries are numbered from 1")
        require(at < 2**40, "the time is out of range")
        require(_TAG + _SIGNATURE <= reader.left <= MAX_CONTENT + _TAG + _SIGNATURE, "the content has a wrong size")
        sealed, signature = reader.raw(reader.left - _SIGNATURE), reader.raw(_SIGNATURE)
        reader.end()
        return cls(trade, author, instance, seq, previous, at, seen, sealed, signature)


@dataclass(frozen=True, slots=True)
class Told:
    """An accepted entry with its content."""

    entry: TwinEntry
    content: bytes


class Twin:
    """All logs of one trade, as one holder of the key has them. Feed it from the store first, then from the wire."""

    def __init__(self, trade: bytes, key: bytes, parties: Collection[bytes], domain: Domain) -> None:
        if len(trade) != 32 or len(key) != KEY_BYTES or not 0 < len(set(parties)) <= MAX_PARTIES:
            raise UsageError(f"a twin has a trade of 32 bytes, a key of 32, and 1 to {MAX_PARTIES} parties")
        self.trade = trade
        self.parties = frozenset(parties)
        self._key = key
        self._domain = domain
        self._logs: dict[bytes, list[Told]] = {party: [] for party in sorted(self.parties)}
        self._claims: dict[tuple[bytes, int], tuple[bytes, TwinEntry]] = {}  # (author, seq) -> hash, who names it
        self._contradictions: list[tuple[TwinEntry, TwinEntry]] = []
        self._drafts: dict[tuple[bytes, bytes, int], bytes] = {}  # (author, instance, seq) -> hash

    def draft(self, author: bytes, instance: bytes, content: bytes, at: int) -> TwinEntry:
        """The author's next entry, to be signed and then accepted like any other.

        UsageError where `instance` sealed something else under this number before: the caller draws a new instance.
        """
        if author not in self.parties or len(instance) != 16:
            raise UsageError("an entry is of one of the parties, with an instance of 16 bytes")
        if len(content) > MAX_CONTENT:
            raise UsageError(f"an entry holds at most {MAX_CONTENT} bytes")
        heads = {party: log[-1].entry for party, log in self._logs.items() if log}
        head = heads.pop(author, None)
        seq, previous = (1, _START) if head is None else (head.seq + 1, head.hash)
        seen = tuple(Seen(party, entry.seq, entry.hash) for party, entry in heads.items())
        bare = TwinEntry(self.trade, author, instance, seq, previous, at, seen, b"")
        made = replace(bare, sealed=self._cipher(bare).encrypt(seq.to_bytes(12, "big"), content, bare.head()))
        if self._drafts.setdefault((author, instance, seq), made.hash) != made.hash:
            raise UsageError("this instance sealed another entry under this number")
        return made

    def accept(self, data: bytes) -> Told | None:
        """Checks an entry against everything that is held; None for one that is held already.

        FormatError, SignatureRejected, RejectedError for what no party of this trade wrote; TwinForked with both
        entries where an author contradicts itself; TwinGap where entries before it are missing. What one party says
        of another's entry refuses nothing: where it differs, `contradictions` has both, and one of the two lies.
        """
        entry = TwinEntry.decode(data)
        if entry.trade != self.trade:
            raise RejectedError("the entry is of another trade")
        if entry.author not in self.parties or not {each.author for each in entry.seen} <= self.parties:
            raise RejectedError("the entry is of, or names, somebody who is no party of this trade")
        try:
            verify(entry.statement(), self._domain, entry.signature, entry.author)
        except KeysError as error:
            raise SignatureRejected("the entry is not signed by its author") from error
        if self._stands(entry):
            return None
        told = Told(entry, self._open(entry))
        self._compare(entry)
        self._logs[entry.author].append(told)
        for each in entry.seen:
            self._claims.setdefault((each.author, each.seq), (each.hash, entry))
        return told

    def _stands(self, entry: TwinEntry) -> bool:
        """Whether exactly this entry is held; else it must be its author's next one."""
        log = self._logs[entry.author]
        if entry.seq <= len(log):
            held = log[entry.seq - 1].entry
            if held.hash != entry.hash:
                raise _forked(f"two entries {entry.seq} of one author", held, entry)
            return True
        if entry.seq > len(log) + 1:
            raise TwinGap(entry.author, len(log) + 1, entry.seq - 1)
        if not log and entry.previous != _START:
            raise RejectedError("the first entry follows none")
        if log and entry.previous != log[-1].entry.hash:
            raise _forked(f"entry {entry.seq} does not follow entry {entry.seq - 1}", log[-1].entry, entry)
        return False

    def _compare(self, entry: TwinEntry) -> None:
        """What others said of this entry, and what it says of others and said before."""
        log, now = self._logs[entry.author], {each.author: each.seq for each in entry.seen}
        if log and any(now.get(each.author, 0) < each.seq for each in log[-1].entry.seen):
            raise RejectedError("the entry has seen less than the one before it")
        claimed, by = self._claims.get((entry.author, entry.seq), (entry.hash, entry))
        if claimed != entry.hash:
            self._contradictions.append((by, entry))
        for each in entry.seen:
            others = self._logs[each.author]
            if each.seq <= len(others):
                holder = others[each.seq - 1].entry
                known = holder.hash
            else:
                known, holder = self._claims.get((each.author, each.seq), (each.hash, entry))
            if known != each.hash:
                self._contradictions.append((holder, entry))

    @property
    def contradictions(self) -> tuple[tuple[TwinEntry, TwinEntry], ...]:
        """Pairs of entries of two authors of whom one tells of another entry than the other wrote or saw."""
        return tuple(self._contradictions)

    def missing(self) -> tuple[tuple[bytes, int, int], ...]:
        """(author, first, last) of entries that others have seen and that are not held, sorted."""
        newest: dict[bytes, int] = {}
        for author, seq in self._claims:
            newest[author] = max(seq, newest.get(author, seq))
        held = {author: len(log) for author, log in self._logs.items()}
        return tuple((author, held[author] + 1, seq) for author, seq in sorted(newest.items()) if seq > held[author])

    def log(self, author: bytes) -> tuple[Told, ...]:
        """One party's entries, in order. KeyError for nobody of this trade."""
        return tuple(self._logs[author])

    def timeline(self) -> tuple[Told, ...]:
        """All entries in one order that every holder of the same entries finds: what was seen comes before who saw it.

        Among entries that did not know of each other the earlier by its author's clock comes first, then the address.
        What has seen an entry that is not held comes where that one would stand.
        """
        done = dict.fromkeys(self._logs, 0)
        order: list[Told] = []

        def ready(told: Told) -> bool:
            return all(done[each.author] >= min(each.seq, len(self._logs[each.author])) for each in told.entry.seen)

        while left := [log[done[party]] for party, log in self._logs.items() if done[party] < len(log)]:
            # Two that have seen each other's next entry cannot both be honest; then the clocks decide.
            chosen = min([told for told in left if ready(told)] or left, key=_by_clock)
            order.append(chosen)
            done[chosen.entry.author] += 1
        return tuple(order)

    def _open(self, entry: TwinEntry) -> bytes:
        try:
            return self._cipher(entry).decrypt(entry.seq.to_bytes(12, "big"), entry.sealed, entry.head())
        except InvalidTag as error:
            raise RejectedError(f"entry {entry.seq} does not open") from error

    def _cipher(self, entry: TwinEntry) -> AESGCM:
        return AESGCM(kdf(self._key, b"twin", entry.trade + entry.author + entry.instance))


def _by_clock(told: Told) -> tuple[int, bytes]:
    return told.entry.at, told.entry.author


def _forked(message: str, first: TwinEntry, second: TwinEntry) -> TwinForked:
    return TwinForked(message, (first.encode(), second.encode()))


def twin_log_id(key: bytes, author: bytes) -> bytes:
    """Under which id a store holds one party's log: 32 bytes that tell it neither trade nor author."""
    if len(key) != KEY_BYTES or len(author) != 20:
        raise UsageError("a log belongs to a key of 32 bytes and an address of 20")
    return kdf(key, b"twin log", author)
