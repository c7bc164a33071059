"""Checks of who can read what: readings against the meter's own file, and stolen keys against recorded envelopes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from node.app.demo.checks.base import (
    LATEST_NEW_S,
    LATEST_OLD_S,
    SETTLE_S,
    Check,
    attack_of,
    book,
    check,
    commits,
    envelopes,
    first_revocation,
    grant_of,
    opened_after_revocation,
    removal,
    stolen,
)
from node.app.demo.evidence import Evidence, Reading, Telegram
from node.app.demo.registrylog import GrantOnChain, grants, revocations
from node.app.demo.truthfile import gas_hours, heard_by_nobody, quarters, seconds
from node.app.demo.wirelog import SealedEnvelope

__all__ = [
    "a_keys_after_revocation",
    "a_reads_its_slots",
    "b_expired_by_itself",
    "b_keys_after_end",
    "b_reads_its_slots",
    "c_reads_its_slots",
    "d_keys_open_nothing",
    "d_reads_nothing",
    "history_complete",
    "readers_change_by_consent",
    "rekey_in_time",
]


def a_reads_its_slots(evidence: Evidence) -> Check:
    return _reads_its_slots(evidence, "A")


def b_reads_its_slots(evidence: Evidence) -> Check:
    return _reads_its_slots(evidence, "B")


def c_reads_its_slots(evidence: Evidence) -> Check:
    return _reads_its_slots(evidence, "C")


def _reads_its_slots(evidence: Evidence, letter: str) -> Check:
    """channels.md 1 and 4: all readings of the granted slots as the meter said them, and none of any other."""
    grant = grant_of(evidence, letter)
    name = f"{letter} read exactly its slots"
    if grant is None:
        return Check(name, False, "the chain shows no such grant")
    faults: list[str] = []
    counts = []
    for sid in grant.sids:
        stream = evidence.setting.names.get(sid, sid.hex()[:8])
        readings = evidence.providers[letter].readings.get(sid, ())
        counts.append(f"{len(readings)} of {stream} in {len({r.slot for r in readings})} slots")
        found = _Slots(evidence, letter, sid, grant)
        faults += [f"{stream}: {fault}" for fault in found.faults(readings)]
    outside = [sid for sid, rows in evidence.providers[letter].readings.items() if rows and sid not in grant.sids]
    faults += [f"reads {evidence.setting.names.get(sid, '?')}, which was not granted" for sid in outside]
    return check(name, faults, ", ".join(counts))


class _Slots:
    """What one provider should have of one stream."""

    def __init__(self, evidence: Evidence, letter: str, sid: bytes, grant: GrantOnChain) -> None:
        setting = evidence.setting
        self._evidence, self._sid = evidence, sid
        self._slots = grant.slots(setting.genesis, setting.slot_seconds)
        gone = removal(evidence, sid) if revocations(evidence, grant.grant_id, everywhere=True) else None
        self._last_epoch = 2**64 if gone is None else gone.epoch - 1
        self._until = evidence.moments.get("read", 0.0) - SETTLE_S
        self._wire = {(e.epoch, e.seq): e for e in envelopes(evidence, sid)}

    def _granted(self, slot: int, epoch: int) -> bool:
        return self._slots[0] <= slot < self._slots[1] and epoch <= self._last_epoch

    def faults(self, readings: Sequence[Reading]) -> Iterator[str]:
        yield from self._foreign(readings)
        yield from _wrong_values(self._evidence, self._sid, readings)
        yield from self._missing(readings)

    def _foreign(self, readings: Sequence[Reading]) -> Iterator[str]:
        for reading in readings:
            envelope = self._wire.get((reading.epoch, reading.seq))
            if envelope is None or envelope.slot != reading.slot:
                yield f"the reading of {reading.time} comes from no envelope that was published"
            elif not self._granted(envelope.slot, envelope.epoch):
                yield f"reads {reading.time}, sealed in slot {envelope.slot} under epoch {envelope.epoch}"
        twice = [time for time, count in Counter(r.time for r in readings).items() if count > 1]
        yield from (f"has the reading of {time} more than once" for time in twice)

    def _missing(self, readings: Sequence[Reading]) -> Iterator[str]:
        """Against the envelopes of its slots, and against the meter: a reading may lack only where it was not given."""
        have = {reading.time for reading in readings}
        entries = book(self._evidence, self._sid)
        for entry in entries:
            granted = self._granted(entry.opened.slot, entry.opened.epoch)
            if granted and entry.reading.time not in have and entry.reading.time < self._until:
                yield f"lacks the reading of {entry.reading.time}, which is in its slot {entry.opened.slot}"
        if self._evidence.setting.names.get(self._sid) != "electricity/1s":
            return
        setting = self._evidence.setting
        low = setting.genesis + self._slots[0] * setting.slot_seconds
        high = min(self._until, setting.genesis + self._slots[1] * setting.slot_seconds)
        elsewhere = {e.reading.time for e in entries if not self._granted(e.opened.slot, e.opened.epoch)}
        for telegram in self._evidence.truth:
            lost = telegram.whole and low <= telegram.at < high and telegram.at not in have | elsewhere
            if lost and not heard_by_nobody(self._evidence.outages, telegram.at):
                yield f"lacks what the meter said at {telegram.at}"


def _wrong_values(evidence: Evidence, sid: bytes, readings: Sequence[Reading]) -> Iterator[str]:
    expected = _expected_values(evidence, sid)
    for reading in readings:
        if reading.time not in expected:
            continue
        wanted = expected[reading.time]
        if wanted is None:
            yield f"has a reading of {reading.time}, when the meter said nothing"
        elif {code: reading.values.get(code) for code in wanted} != dict(wanted):
            yield f"the reading of {reading.time} differs from the meter"
    if evidence.setting.names.get(sid) == "electricity/1s":
        yield from (
            f"has a reading of {r.time}, when the meter said nothing" for r in readings if r.time not in expected
        )


def _expected_values(evidence: Evidence, sid: bytes) -> Mapping[int, Mapping[str, int] | None]:
    """By time what a reading of this stream must say. Intervals whose ends were not both measured are left out."""
    name = evidence.setting.names.get(sid)
    whole = {t.at: t for t in evidence.truth if t.whole}
    if name == "electricity/1s":
        return {at: seconds(telegram) for at, telegram in whole.items()}
    heard: dict[int, Telegram] = {at: t for at, t in whole.items() if not heard_by_nobody(evidence.outages, at, 5.0)}
    if name == "gas/1h":
        return gas_hours(heard.values())
    begins = (at for at in heard if at % 900 == 0)
    return {at: values for at in begins if (values := quarters(heard, at)) is not None}


def d_reads_nothing(evidence: Evidence) -> Check:
    """The denied provider has no grant on chain and no reading."""
    provider = evidence.providers["D"]
    faults = [f"has {len(rows)} readings of {sid.hex()[:8]}" for sid, rows in provider.readings.items() if rows]
    if provider.grant_id is not None:
        faults.append("has a grant")
    return check("D read nothing", faults, "no grant, no reading")


def history_complete(evidence: Evidence) -> Check:
    """C has two days of history: every reading of the backlog, as the meter said it, in all three streams."""
    setting = evidence.setting
    faults, counts = [], []
    for sid, name in setting.names.items():
        have = {r.time for r in evidence.providers["C"].readings.get(sid, ()) if r.time < setting.live_from}
        expected = _expected_values(evidence, sid)
        span = {"electricity/15min": 900, "gas/1h": 3600}.get(name, 0)
        wanted = {at for at in expected if setting.genesis <= at and at + span < setting.live_from}
        faults += [f"{name}: {at} is missing" for at in sorted(wanted - have)]
        counts.append(f"{len(wanted)} of {name}")
        if not wanted:
            faults.append(f"{name}: the meter said nothing")
    return check("history complete", faults, ", ".join(counts))


# Stolen keys


def _opened_of(evidence: Evidence, letter: str, sid: bytes, found: Sequence[SealedEnvelope]) -> int:
    return len(attack_of(evidence, letter, sid).open_any(found))


def _control(evidence: Evidence, letter: str, grant: GrantOnChain, before: float) -> int:
    """How many envelopes of its own slots the same attack opens: without any, an attack that fails proves nothing."""
    opened = 0
    low, high = grant.slots(evidence.setting.genesis, evidence.setting.slot_seconds)
    for sid in grant.sids:
        own = [e for e in envelopes(evidence, sid) if low <= e.slot < high and e.at < before]
        opened += len(attack_of(evidence, letter, sid).decrypt(own))
    return opened


def a_keys_after_revocation(evidence: Evidence) -> Check:
    """All that A ever stored opens no envelope from half a second after the revocation's block on, in any stream."""
    name = "A's raw keys open nothing after the revocation"
    revoked, grant = first_revocation(evidence, "A"), grant_of(evidence, "A")
    if revoked is None or grant is None:
        return Check(name, False, "no revocation of A's grant was seen in a block")
    later = opened_after_revocation(evidence, "A")
    names = evidence.setting.names
    faults = [f"{opened} of {count} envelopes of {names[sid]} open" for sid, (count, opened) in later.items() if opened]
    tried = sum(count for count, _ in later.values())
    control = _control(evidence, "A", grant, revoked.seen_at)
    if not control:
        faults.append("the keys do not even open what A was granted: nothing was proven")
    if not tried:
        faults.append("nothing was published after the revocation")
    values = len(stolen(evidence, "A"))
    return check(name, faults, f"0 of {tried} later envelopes, {control} earlier ones, with {values} values")


def b_keys_after_end(evidence: Evidence) -> Check:
    """B's grant ended with a slot: its raw keys open no envelope of any later slot."""
    name = "B's raw keys open nothing after its end"
    grant = grant_of(evidence, "B")
    if grant is None:
        return Check(name, False, "the chain shows no grant of B")
    end = grant.slots(evidence.setting.genesis, evidence.setting.slot_seconds)[1]
    faults, tried = [], 0
    for sid, stream in evidence.setting.names.items():
        later = [e for e in envelopes(evidence, sid) if e.slot >= end]
        tried += len(later)
        opened = _opened_of(evidence, "B", sid, later)
        if opened:
            faults.append(f"{opened} of {len(later)} envelopes of {stream} from slot {end} on open")
    control = _control(evidence, "B", grant, float("inf"))
    if not control:
        faults.append("the keys do not even open what B was granted: nothing was proven")
    if not tried:
        faults.append("nothing was published after B's end")
    return check(name, faults, f"0 of {tried} envelopes from slot {end} on, {control} before")


def d_keys_open_nothing(evidence: Evidence) -> Check:
    """D stored keys too; they open no envelope at all."""
    faults, tried = [], 0
    for sid, stream in evidence.setting.names.items():
        found = envelopes(evidence, sid)
        # One slot of each minute of the end and each hour of the history stands for the rest.
        some = [e for n, e in enumerate(found) if n % 60 == 0 or n > len(found) - 60]
        tried += len(some)
        opened = _opened_of(evidence, "D", sid, some)
        if opened:
            faults.append(f"{opened} envelopes of {stream} open")
    if evidence.harvests.get("D") is None or not evidence.harvests["D"].secrets or not tried:
        faults.append("there were no keys or no envelopes to try")
    return check("D's raw keys open nothing", faults, f"0 of {tried} envelopes")


def rekey_in_time(evidence: Evidence) -> Check:
    """From the block with the revocation: the last envelope under the old epoch, and the first under the new one."""
    name = "re-keyed in time"
    revoked, grant = first_revocation(evidence, "A"), grant_of(evidence, "A")
    if revoked is None or grant is None:
        return Check(name, False, "no revocation of A's grant was seen in a block")
    faults, times = [], []
    for sid in grant.sids:
        stream = evidence.setting.names.get(sid, "?")
        gone = removal(evidence, sid)
        if gone is None:
            faults.append(f"{stream}: no commit removed anybody after the revocation")
            continue
        old = [e.at for e in envelopes(evidence, sid) if e.epoch < gone.epoch]
        new = [e.at for e in envelopes(evidence, sid) if e.epoch >= gone.epoch]
        last = max(old, default=0.0) - revoked.seen_at
        if last > LATEST_OLD_S:
            faults.append(f"{stream}: {last:.2f} s later something was published under the old epoch")
        if stream != "electricity/1s":
            continue
        first = min(new, default=float("inf")) - revoked.seen_at
        if first > LATEST_NEW_S:
            faults.append(f"{stream}: the first envelope under the new epoch came after {first:.2f} s")
        times.append(f"last old {last:+.2f} s, first new {first:+.2f} s from the block with the revocation")
    return check(name, faults, "; ".join(times))


def b_expired_by_itself(evidence: Evidence) -> Check:
    """channels.md 4, rule 3: nobody revoked B; a commit took it out before any later slot was sealed."""
    name = "B expired by itself"
    grant = grant_of(evidence, "B")
    if grant is None:
        return Check(name, False, "the chain shows no grant of B")
    faults = ["B was revoked"] if revocations(evidence, grant.grant_id, everywhere=True) else []
    end = grant.slots(evidence.setting.genesis, evidence.setting.slot_seconds)[1]
    edge = evidence.setting.genesis + end * evidence.setting.slot_seconds
    details = []
    for sid in grant.sids:
        stream = evidence.setting.names.get(sid, "?")
        later = [e for e in envelopes(evidence, sid) if e.slot >= end]
        left = [c for c in commits(evidence, sid) if c.removed and c.first_slot >= end]
        if not left:
            faults.append(f"{stream}: no commit removed anybody from slot {end} on")
            continue
        out = min(left, key=lambda commit: commit.epoch)
        early = [e for e in later if e.epoch < out.epoch]
        if early:
            faults.append(f"{stream}: {len(early)} envelopes of later slots are sealed under an epoch that B knows")
        details.append(f"{stream}: epoch {out.epoch}, {out.at - edge:+.1f} s from the slot's edge")
    return check(name, faults, "; ".join(details))


def readers_change_by_consent(evidence: Evidence) -> Check:
    """Leaves come by a grant and go by its revocation or its end; no outage, reorg or rebuild costs anybody a leaf."""
    faults, details = [], []
    until = evidence.moments.get("read", 0.0)
    for sid, stream in evidence.setting.names.items():
        given = [grant for grant in grants(evidence).values() if sid in grant.sids]
        over = [g for g in given if g.end <= until or revocations(evidence, g.grant_id, everywhere=True)]
        made = sorted(commits(evidence, sid), key=lambda commit: commit.epoch)
        added = sum(len(commit.added) for commit in made)
        removed = sum(count for commit in made for _, count in commit.removed)
        # The household itself is a member without a grant.
        if added > len(given) + 1:
            faults.append(f"{stream}: {added} leaves were added for {len(given)} grants and the household")
        if removed > len(over):
            faults.append(f"{stream}: {removed} leaves were removed, {len(over)} grants are over")
        if made and made[-1].n_live < 1 + len(given) - len(over):
            faults.append(f"{stream}: {made[-1].n_live} leaves are left for {len(given) - len(over)} live grants")
        details.append(f"{stream}: {added} came, {removed} went")
    return check("readers change by consent only", faults, ", ".join(details))
