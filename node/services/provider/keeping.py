"""What a reader has opened since the last transaction, on its way into the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from channels.alarms import Alarm as ChannelAlarm
from channels.commit import Commit, Header
from channels.envelope import EnvelopeHeader
from channels.errors import FormatError
from channels.kdf import sha256
from channels.reader import Progress, Reader, Reading
from channels.reader_state import snapshot_reader
from channels.readings import decode_batch, encode_batch
from channels.slots import StreamParams
from channels.stores.records import Alarm, Confirmation, OpenedReading, OpenRecord, StoredCommit, StoredEnvelope
from node.services.provider.ports import Ports

__all__ = ["Keeper", "Kept", "alarm_value"]

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Kept:
    """Lists that grow between two transactions."""

    readings: list[OpenedReading] = field(default_factory=list)
    confirmed: list[Confirmation] = field(default_factory=list)
    withdrawn: list[Confirmation] = field(default_factory=list)
    envelopes: list[StoredEnvelope] = field(default_factory=list)
    commits: list[StoredCommit] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)

    def add(self, params: StreamParams, progress: Progress, commits: Sequence[bytes]) -> list[tuple[str, bytes]]:
        """What one step brought; alarms are added by the caller, who knows the time.

        Returns why and which envelopes hold no readings: a member can seal anything, and a writer may be at fault.
        """
        faults: list[tuple[str, bytes]] = []
        self._withdraw(progress.withdrawn)
        headers = {header.seq: (header, raw) for raw in progress.taken if (header := _header(raw, params)) is not None}
        for reading in progress.readings:
            found = headers.get(reading.seq)
            try:
                self.readings += _unfold(reading, found[0].inst if found else bytes(16))
            except FormatError as error:
                faults.append((f"envelope {reading.seq}: {error}", found[1] if found else b""))
        self.confirmed += [Confirmation(first, last - first + 1) for first, last in progress.final]
        self.envelopes += [
            StoredEnvelope(h.epoch, h.slot, h.inst, h.seq, sha256(raw), raw) for h, raw in headers.values()
        ]
        self.commits += [StoredCommit(Header.decode(raw).epoch, Commit.hash_of(raw), raw) for raw in commits]
        return faults

    def _withdraw(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Forged readings go, those of this very step and those that the store has already."""
        for first, last in ranges:
            self.withdrawn.append(Confirmation(first, last - first + 1))
            self.readings = [reading for reading in self.readings if not first <= reading.seq <= last]

    def record(self, snapshot: bytes) -> OpenRecord:
        """Everything as one record for the store."""
        return OpenRecord(
            snapshot=snapshot,
            readings=tuple(self.readings),
            confirmed=tuple(self.confirmed),
            withdrawn=tuple(self.withdrawn),
            envelopes=tuple(self.envelopes),
            commits=tuple(self.commits),
            alarms=tuple(self.alarms),
        )


class Keeper:
    """One reader's way into the store: what its steps bring is gathered, and kept with its state in one transaction."""

    def __init__(self, reader: Reader, ports: Ports) -> None:
        self.reader = reader
        self.opened = 0
        self._ports = ports
        self._kept = Kept()

    def keep(self, progress: Progress, commits: Sequence[bytes] = ()) -> None:
        """What one step brought."""
        for fault, raw in self._kept.add(self.reader.params, progress, commits):
            self.alarm("reading", fault, (raw,))
        for alarm in progress.alarms:
            self.alarm_of(alarm)

    async def flush(self, *, always: bool = False) -> None:
        """One transaction for everything since the last one: state, readings, log and alarms."""
        kept, self._kept = self._kept, Kept()
        if not always and kept == Kept():
            return
        reader, ports = self.reader, self._ports
        record = kept.record(snapshot_reader(reader))
        await ports.common.keep(ports.store, reader.params.sid, reader.grant_id, record)
        self.opened += len(kept.readings)

    def alarm_of(self, alarm: ChannelAlarm) -> None:
        """What the protocol noticed."""
        self._kept.alarms.append(alarm_value(alarm, self._ports.clock.now()))

    def alarm(self, kind: str, detail: str, evidence: tuple[bytes, ...]) -> None:
        """What was noticed around it."""
        _log.warning("channel_alarm", kind=kind, detail=detail)
        self._kept.alarms.append(Alarm(kind, self._ports.clock.now(), detail, evidence))


def _header(raw: bytes, params: StreamParams) -> EnvelopeHeader | None:
    try:
        return EnvelopeHeader.decode(raw, params.signed_envelopes)
    except FormatError:
        return None


def _unfold(opened: Reading, inst: bytes) -> list[OpenedReading]:
    """The readings of one envelope, each with its own payload."""
    return [
        OpenedReading(
            each.meter_time,
            opened.slot,
            opened.epoch,
            inst,
            opened.seq,
            index,
            opened.provisional,
            encode_batch([each]),
        )
        for index, each in enumerate(decode_batch(opened.plaintext))
    ]


def alarm_value(alarm: ChannelAlarm, now: int) -> Alarm:
    """An alarm of the protocol as the store keeps it: its facts in one line, the evidence beside it in bytes."""
    names = [name for name in type(alarm).__dataclass_fields__ if name != "evidence"]
    facts = ", ".join(f"{name}={_short(getattr(alarm, name))}" for name in names)
    return Alarm(type(alarm).__name__, now, facts, alarm.evidence)


def _short(value: object) -> str:
    return value.hex()[:16] if isinstance(value, bytes) else str(value)
