"""Telegrams for tests, written from the standard's layout with invented values, and real ones where there are any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.services.meter.counters import MeterCounters
from node.services.meter.framing import Candidate, Framer

ROOT = Path(__file__).resolve().parents[4]
# Real telegrams of household meters are nobody's to publish: they stay outside the repository.
REAL = Path(os.environ.get("WATTPACT_P1_SAMPLES", ROOT.parent / "shared" / "data" / "p1"))


def reference_crc(data: bytes) -> int:
    """CRC-16/ARC bit by bit, as the DSMR standard describes it: the independent check of the compiled one."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def real(name: str) -> bytes:
    path = REAL / name
    if not path.exists():
        pytest.skip(f"real telegram {name} is not at hand; set WATTPACT_P1_SAMPLES to its folder")
    return path.read_bytes()


def seal(body: bytes) -> bytes:
    return body + b"%04X\r\n" % reference_crc(body)


def lines(
    time: str = "261121143000W",
    imported: int = 1_234_567,
    exported: int = 89_012,
    gas: str = "(261121142500W)(00045.678*m3)",
) -> list[str]:
    return [
        "/TST5\\3EXAMPLE-77",
        "",
        "1-3:0.2.8(50)",
        f"0-0:1.0.0({time})",
        "0-0:96.1.1(54455354303031)",
        f"1-0:1.8.1({imported // 1000:06d}.{imported % 1000:03d}*kWh)",
        "1-0:1.8.2(002000.001*kWh)",
        f"1-0:2.8.1({exported // 1000:06d}.{exported % 1000:03d}*kWh)",
        "1-0:2.8.2(000000.002*kWh)",
        "0-0:96.14.0(0001)",
        "1-0:1.7.0(01.193*kW)",
        "1-0:2.7.0(00.000*kW)",
        "0-0:96.13.0()",
        "1-0:32.7.0(231.4*V)",
        "1-0:31.7.0(005*A)",
        "0-1:24.1.0(003)",
        "0-1:96.1.0(47415331)",
        f"0-1:24.2.1{gas}",
        "!",
    ]


def telegram(content: list[str] | None = None) -> bytes:
    return seal("\r\n".join(lines() if content is None else content).encode())


def candidates(data: bytes) -> list[Candidate]:
    return Framer(MeterCounters()).feed(data)


def candidate(data: bytes) -> Candidate:
    [found] = candidates(data)
    return found
