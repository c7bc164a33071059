"""Bytes of a P1 port in, judged readings out: framing, reading and the clock rule in one place. Sans I/O.

Everything that is refused or set aside is counted; nothing that a meter sends raises.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace

from node.services.meter.clock_rule import ClockPolicy, ClockState, ClockView, Reason, judge, judge_gas
from node.services.meter.counters import MeterCounters, Outcome
from node.services.meter.errors import SavedStateError, TelegramRefused
from node.services.meter.framing import Framer
from node.services.meter.meter_time import CENTRAL_EUROPE
from node.services.meter.reading import MeterReading, Quality, electricity_of, gas_of
from node.services.meter.telegram import Telegram, read_telegram

__all__ = ["Accepted", "MeterPipeline", "PipelineState", "SetAside"]

_STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Accepted:
    """One believed telegram: its electricity, and its gas where the gas meter's own time is believed too."""

    electricity: MeterReading
    gas: MeterReading | None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A valid telegram whose time is not believed, reported in any case. If `reason.recoverable` the caller holds it
    and hands it to `MeterPipeline.reconsider`, oldest first and before newer bytes, once clock and chain agree."""

    reason: Reason
    electricity: MeterReading
    telegram: Telegram


@dataclass(frozen=True, slots=True)
class PipelineState:
    """What survives a restart. `meter_tag` recognises the meter without naming it: 8 bytes of SHA-256 of its id."""

    clock: ClockState = field(default_factory=ClockState)
    meter_tag: bytes = b""

    def to_bytes(self) -> bytes:
        clock = [self.clock.newest, self.clock.last_seen, self.clock.since]
        return json.dumps({"version": _STATE_VERSION, "clock": clock, "meter": self.meter_tag.hex()}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> PipelineState:
        """Raises SavedStateError for anything that `to_bytes` did not write."""
        try:
            found = json.loads(data)
            if found["version"] != _STATE_VERSION or not all(type(n) is int for n in found["clock"]):
                raise SavedStateError("the saved meter state is of another version")
            newest, last_seen, since = found["clock"]
            return cls(ClockState(newest, last_seen, since), bytes.fromhex(found["meter"]))
        except (ValueError, KeyError, TypeError):
            raise SavedStateError("the saved meter state cannot be read") from None


class MeterPipeline:
    """One per meter. `state` is what to save beside the readings that it gave out."""

    def __init__(
        self,
        policy: ClockPolicy,
        counters: MeterCounters,
        state: PipelineState | None = None,
        standard_offset: int = CENTRAL_EUROPE,
    ) -> None:
        self.state = PipelineState() if state is None else state
        self.counters = counters
        self._policy = policy
        self._framer = Framer(counters)
        self._standard_offset = standard_offset

    def receive(self, data: bytes, view: ClockView) -> list[Accepted | SetAside]:
        """`data` as it came from the port at `view.gateway`; results in the order of the telegrams."""
        results: list[Accepted | SetAside] = []
        for candidate in self._framer.feed(data):
            try:
                telegram = read_telegram(candidate, self._standard_offset)
            except TelegramRefused as refused:
                self.counters.add(Outcome(refused.cause))
                continue
            if telegram.unknown_lines:
                self.counters.add(Outcome.UNKNOWN_LINES, telegram.unknown_lines)
            results.append(self._judge(telegram, view))
        return results

    def reconsider(self, found: SetAside, view: ClockView, held: int) -> Accepted | SetAside:
        """Judges a held telegram again, `held` seconds (by a clock that never jumps) after it came. Its receipt time is
        computed from the present clock, since the one noted then was in doubt. Raises ValueError for other reasons."""
        if not found.reason.recoverable or held < 0:
            raise ValueError("only a telegram that was set aside for our own clock can be judged again")
        if view.block is None or abs(view.gateway - view.block) > self._policy.max_skew:
            return found
        receipt = view.gateway - held
        return self._judge(found.telegram, ClockView(receipt, view.block - held))

    def _judge(self, telegram: Telegram, view: ClockView) -> Accepted | SetAside:
        time = telegram.meter_time.seconds
        verdict, clock = judge(time, view, self.state.clock, self._policy)
        self.state = replace(self.state, clock=clock)
        if verdict.reason is not None:
            self.counters.add(Outcome(f"set_aside_{verdict.reason}"))
            return SetAside(verdict.reason, electricity_of(telegram, view.gateway), telegram)
        self.counters.add(Outcome.ACCEPTED_BACKLOG if verdict.backlog else Outcome.ACCEPTED)
        quality = Quality.BACKLOG if verdict.backlog else Quality.GOOD
        tag = hashlib.sha256(telegram.equipment_id).digest()[:8]
        if self.state.meter_tag not in (b"", tag):
            quality |= Quality.METER_CHANGED
        self.state = replace(self.state, meter_tag=tag)
        gas = gas_of(telegram, view.gateway, quality & ~Quality.METER_CHANGED)
        if gas is not None and judge_gas(gas.meter_time, time, self._policy).reason is not None:
            self.counters.add(Outcome.SET_ASIDE_GAS)
            gas = None
        return Accepted(electricity_of(telegram, view.gateway, quality), gas)
