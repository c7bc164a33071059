"""Checks that nothing was lost, doubled, forked or shown: the wire against the meter's own file."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from node.app.demo.checks.base import SETTLE_S, Check, book, check, envelopes
from node.app.demo.evidence import Evidence, Outage, Rebuild
from node.app.demo.truthfile import heard_by_nobody

__all__ = [
    "chain_of_envelopes",
    "in_time",
    "nothing_lost_or_doubled",
    "nothing_readable_on_the_wire",
    "outages_were_real",
    "rebuilds_equal",
]

MOST_SECONDS = 240.0
_WINDOW = 12
_DIGITS = re.compile(rb"[0-9][0-9.]{4,}[0-9]")


def nothing_lost_or_doubled(evidence: Evidence) -> Check:
    """Every whole telegram stands once in one envelope. What was said while the gateway's process was away is gone."""
    sid = evidence.sid("electricity/1s")
    until = evidence.moments.get("read", 0.0) - SETTLE_S
    counted = Counter(entry.reading.time for entry in book(evidence, sid))
    said = {t.at for t in evidence.truth if t.whole and evidence.setting.genesis <= t.at < until}
    away = {at for at in said if heard_by_nobody(evidence.outages, at)}
    faults = [f"the reading of {at} stands in {count} places" for at, count in counted.items() if count > 1]
    faults += [f"the reading of {at} is lost" for at in sorted(said - away - set(counted))]
    faults += [f"the meter never said anything at {at}" for at in counted if at < until and at not in said]
    if not said:
        faults.append("the meter said nothing")
    names = ", ".join(sorted({o.who for o in evidence.outages}))
    lost = len(away - set(counted))
    detail = f"{len(said - away)} telegrams once each over outages of {names}; {lost} were said to no process"
    return check("nothing lost or doubled", faults, detail)


def outages_were_real(evidence: Evidence) -> Check:
    """The gateway was killed with signal 9 and came back; the broker was away, and nothing passed meanwhile."""
    name = "outages were real"
    killed = [o for o in evidence.outages if o.who == "gateway" and o.exit_code == -signal.SIGKILL]
    broker = [o for o in evidence.outages if o.who == "broker"]
    faults = [] if killed else ["the gateway was not killed with signal 9"]
    faults += [] if broker else ["the broker was not stopped"]
    for outage in (*killed, *broker):
        faults += _passed(evidence, outage)
    spans = ", ".join(f"{o.who} {o.end - o.start:.1f} s" for o in (*killed, *broker))
    return check(name, faults, spans)


def _passed(evidence: Evidence, outage: Outage) -> Iterator[str]:
    times = sorted(item.at for item in evidence.heard if item.kind == "data")
    if outage.end - outage.start < 2:
        yield f"the {outage.who} was away for {outage.end - outage.start:.1f} s only"
    if outage.who == "broker" and any(outage.start + 0.5 < at < outage.end for at in times):
        yield "envelopes passed a broker that was stopped"
    if not any(at < outage.start for at in times) or not any(at > outage.end for at in times):
        yield f"there is no data before and after the outage of the {outage.who}"


def chain_of_envelopes(evidence: Evidence) -> Check:
    """channels.md 3: each envelope names the hash of the one before, without a gap, a fork or a step back in slots."""
    faults, counts = [], []
    for sid, name in evidence.setting.names.items():
        found = sorted(envelopes(evidence, sid), key=lambda e: e.seq)
        counts.append(f"{len(found)} of {name} by {len({e.inst for e in found})} writer instances")
        seq, tip, place = 0, bytes(32), (0, 0)
        for envelope in found:
            if envelope.seq != seq + 1:
                faults.append(f"{name}: {'two envelopes' if envelope.seq == seq else 'a gap'} at seq {envelope.seq}")
            elif envelope.previous != tip:
                faults.append(f"{name}: envelope {envelope.seq} does not follow the one before")
            if (envelope.epoch, envelope.slot) < place or envelope.slot < place[1]:
                faults.append(f"{name}: envelope {envelope.seq} steps back")
            seq, tip, place = envelope.seq, envelope.hash, (envelope.epoch, envelope.slot)
        if not found:
            faults.append(f"{name}: nothing was published")
    return check("hash chain unbroken", faults, ", ".join(counts))


def nothing_readable_on_the_wire(evidence: Evidence) -> Check:
    """No equipment id, no register value in any spelling, no piece of a plaintext in what the broker was given."""
    name = "nothing readable on the wire"
    equipment = evidence.setting.equipment.encode()
    secrets = {equipment, equipment.hex().encode(), equipment.hex().upper().encode(), bytes.fromhex(equipment.hex())}
    numbers = _spellings(evidence)
    plaintexts = [e.opened.plaintext for sid in evidence.setting.names for e in book(evidence, sid)]
    pieces = {text[at : at + _WINDOW] for text in plaintexts for at in range(len(text) - _WINDOW + 1)}
    if not numbers or not pieces:
        return Check(name, False, "there was nothing to look for")
    faults = []
    for payload in dict.fromkeys(item.payload for item in evidence.heard):
        if any(secret in payload for secret in secrets):
            faults.append("the meter's equipment id went over the wire")
        if any(found in numbers for found in _DIGITS.findall(payload)):
            faults.append("a register value went over the wire")
        if _holds(payload, pieces):
            faults.append("a piece of a plaintext went over the wire")
    size = sum(len(item.payload) for item in evidence.heard)
    return check(
        name, sorted(set(faults)), f"{size:,} bytes, {len(numbers):,} numbers and {len(pieces):,} pieces sought"
    )


def _holds(payload: bytes, pieces: Iterable[bytes]) -> bool:
    return not {payload[at : at + _WINDOW] for at in range(len(payload) - _WINDOW + 1)}.isdisjoint(pieces)


def _spellings(evidence: Evidence) -> set[bytes]:
    """Register values as numbers and as telegrams spell them. Of six digits at least: shorter ones occur by chance."""
    values = {value for telegram in evidence.truth for value in telegram.registers.values() if value >= 100_000}
    plain = {str(value).encode() for value in values}
    return plain | {f"{v // 1000:06d}.{v % 1000:03d}".encode() for v in values} | {b"%.3f" % (v / 1000) for v in values}


def rebuilds_equal(evidence: Evidence) -> Check:
    """Without its database each node lists the same streams and consents as before, and the home has every reading."""
    faults, details = [], []
    for who in ("home", "gateway"):
        found = [rebuild for rebuild in evidence.rebuilds if rebuild.who == who]
        if not found:
            faults.append(f"the {who}'s database was not deleted")
        for rebuild in found:
            rows = sum(len(part) for part in rebuild.before.values())
            if not rows:
                faults.append(f"the {who} listed nothing before")
            faults += [f"the {who}'s {fault}" for fault in _differences(rebuild)]
            faults += [f"the {who} {fault}" for fault in _lost_readings(rebuild, evidence.setting.names)]
            read = sum(len(part) for part in rebuild.had.values())
            if who == "home" and not read:
                faults.append("the home had read nothing before")
            details.append(f"{who}: {rows} rows, {read:,} readings")
    return check("rebuilt without database", faults, ", ".join(details))


def _differences(rebuild: Rebuild) -> Iterator[str]:
    for part, rows in rebuild.before.items():
        after = rebuild.after.get(part, [])
        if after != rows:
            gone = [row for row in rows if row not in after]
            new = [row for row in after if row not in rows]
            yield f"{part} differ: {gone} became {new}"


def _lost_readings(rebuild: Rebuild, names: Mapping[bytes, str]) -> Iterator[str]:
    for sid, had in rebuild.had.items():
        has = {(r.time, r.slot, r.epoch, r.seq): r.values for r in rebuild.has.get(sid, ())}
        gone = [r for r in had if (r.time, r.slot, r.epoch, r.seq) not in has]
        other = [r for r in had if has.get((r.time, r.slot, r.epoch, r.seq), r.values) != r.values]
        name = names.get(sid, sid.hex())
        if gone:
            yield f"lacks {len(gone)} of {len(had)} readings of {name}, first that of {gone[0].time}"
        if other:
            yield f"has other values in {len(other)} readings of {name}"
        if len(has) != len(rebuild.has.get(sid, ())):
            yield f"has readings of {name} twice"


def in_time(evidence: Evidence) -> Check:
    """The whole story under four minutes."""
    took = evidence.moments.get("end", float("inf")) - evidence.moments.get("start", 0.0)
    faults = [] if took < MOST_SECONDS else [f"{took:.0f} s"]
    return check("under four minutes", faults, f"{took:.0f} s")
