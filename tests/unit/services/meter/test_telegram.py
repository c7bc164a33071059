from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.services.meter.errors import ChecksumMismatch, MalformedTelegram, TelegramRefused, UnsupportedVersion
from node.services.meter.framing import Candidate
from node.services.meter.telegram import GasReading, read_number, read_telegram
from tests.unit.services.meter.samples import candidate, candidates, lines, real, seal, telegram


def refused(content: list[str]) -> type[Exception]:
    with pytest.raises(TelegramRefused) as caught:
        read_telegram(candidate(telegram(content)))
    return caught.type


def replaced(old: str, new: str) -> list[str]:
    changed = [line.replace(old, new) for line in lines()]
    assert changed != lines()
    return changed


def without(start: str) -> list[str]:
    return [line for line in lines() if not line.startswith(start)]


def test_units_are_integers_in_base_units() -> None:
    found = read_telegram(candidate(telegram()))
    assert found.version == 50
    assert found.meter_time.seconds == 1_795_267_800
    assert found.equipment_id == b"TEST001"
    assert found.tariff == 1
    assert dict(found.registers) == {
        "1-0:1.8.1": 1_234_567,
        "1-0:1.8.2": 2_000_001,
        "1-0:2.8.1": 89_012,
        "1-0:2.8.2": 2,
        "1-0:1.7.0": 1193,
        "1-0:2.7.0": 0,
        "1-0:32.7.0": 231_400,
        "1-0:31.7.0": 5000,
    }
    assert found.gas is not None
    assert (found.gas.volume, found.gas.capture_time.seconds) == (45_678, 1_795_267_500)
    assert found.unknown_lines == 0


def test_the_serial_number_stays_out_of_repr() -> None:
    assert "TEST001" not in repr(read_telegram(candidate(telegram())))


def test_real_dsmr_4() -> None:
    found = read_telegram(candidate(real("dsmr-v4.2.txt")))
    assert found.version == 42
    assert found.meter_time.seconds == 1_479_067_077  # 2016-11-13 20:57:57 CET
    assert found.registers["1-0:1.8.1"] == 1_581_123
    assert found.registers["1-0:1.8.2"] == 1_435_706
    assert found.registers["1-0:1.7.0"] == 2027
    assert found.registers["1-0:51.7.0"] == 6000
    assert found.gas is not None
    assert found.gas.volume == 981_443
    assert found.unknown_lines == 0


def test_real_dsmr_5_with_an_exchanged_gas_meter() -> None:
    found = read_telegram(candidate(real("dsmr-v5.txt")))
    assert found.version == 50
    assert found.meter_time.seconds == 1_483_381_202  # 2017-01-02 19:20:02 CET
    assert found.registers["1-0:2.8.1"] == 2444
    assert found.registers["1-0:32.7.0"] == 230_000
    assert found.registers["1-0:31.7.0"] == 480
    assert found.gas is not None
    assert (found.gas.channel, found.gas.volume) == (1, 107)


@pytest.mark.parametrize("name", ["dsmr-v2.2.txt", "dsmr-v3.txt"])
def test_real_older_versions_are_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedVersion, match="unsupported version"):
        read_telegram(candidate(real(name)))


def test_older_layout_is_refused_by_name() -> None:
    old = b"/TST5\\2OLD\r\n\r\n0-0:96.1.1(00)\r\n1-0:1.8.1(00001.001*kWh)\r\n!\r\n"
    with pytest.raises(UnsupportedVersion, match="unsupported version"):
        read_telegram(candidate(old))


@pytest.mark.parametrize("version", ["22", "30", "60", "5", "500", "AB", ""])
def test_other_versions_are_refused(version: str) -> None:
    assert refused(replaced("0.2.8(50)", f"0.2.8({version})")) is UnsupportedVersion


def test_no_version_line_is_an_unsupported_version() -> None:
    assert refused(without("1-3:0.2.8")) is UnsupportedVersion


def test_dsmr_5_without_checksum_is_not_taken() -> None:
    """Stripping the checksum must not be a way round it."""
    stripped = telegram()[:-6] + b"\r\n"
    with pytest.raises(MalformedTelegram, match="checksum"):
        read_telegram(candidate(stripped))


@pytest.mark.parametrize(
    "content",
    [
        without("0-0:1.0.0"),
        without("1-0:1.8.2"),
        without("1-0:2.7.0"),
        without("0-0:96.14.0"),
        [*lines()[:-1], "1-0:1.8.1(000001.000*kWh)", "!"],
        [*lines()[:-1], "0-0:1.0.0(261121143000W)", "!"],
        [*lines()[:-1], "0-1:24.2.1(261121142500W)(00001.000*m3)", "!"],
        [*lines()[:-1], "(00001.001)", "!"],
        [*lines()[:-1], "hello", "!"],
        [*lines()[:-1], "0-0:99.1.1(un\x07ringed)", "!"],
        [*lines()[:-1], "", "!"],
        replaced("01.193*kW", "01.193*kWh"),
        replaced("01.193*kW", "-1.193*kW"),
        replaced("01.193*kW", "1,193*kW"),
        replaced("01.193*kW", ".193*kW"),
        replaced("01.193*kW", "01.1935*kW"),
        replaced("01.193*kW", "1e3*kW"),
        replaced("01.193*kW", " 1.193*kW"),
        replaced("(01.193*kW)", "(01.193*kW)(01.193*kW)"),
        replaced("/TST5", "/TS5"),
        replaced("(0001)", "(0003)"),
        replaced("54455354303031", "5445535430303"),
        replaced("54455354303031", "544553543030ZZ"),
        replaced("261121143000W", "261321143000W"),
    ],
)
def test_anything_outside_the_standard_is_refused(content: list[str]) -> None:
    assert refused(content) is MalformedTelegram


def test_unknown_objects_are_counted_not_refused() -> None:
    more = [*lines()[:-1], "0-0:98.1.0(5)(1-0:1.6.0)(00.123*kW)", "1-0:4.7.0(00.001*kvar)", "!"]
    assert read_telegram(candidate(telegram(more))).unknown_lines == 2


@pytest.mark.parametrize(
    "gas", ["(632525252525S)(00000.000)", "()", "(261121142500W)(00045.678*kWh)", "(632525252525S)(00000.000*m3)"]
)
def test_an_absent_gas_meter_is_no_reading(gas: str) -> None:
    assert read_telegram(candidate(telegram(lines(gas=gas)))).gas is None


def test_water_is_not_gas() -> None:
    assert read_telegram(candidate(telegram(replaced("24.1.0(003)", "24.1.0(007)")))).gas is None


def test_of_two_gas_meters_the_one_read_last_counts() -> None:
    more = [*lines()[:-1], "0-2:24.1.0(003)", "0-2:24.2.1(261121143000W)(00000.012*m3)", "!"]
    found = read_telegram(candidate(telegram(more))).gas
    assert isinstance(found, GasReading)
    assert (found.channel, found.volume) == (2, 12)


@given(st.integers(0, 999_999_999))
def test_numbers_are_exact(value: int) -> None:
    """No float on the way: every thousandth survives."""
    assert read_number(b"%06d.%03d*kWh)" % divmod(value, 1000), b"*kWh)") == value


ONE = telegram()


@settings(max_examples=500)
@given(st.integers(0, len(ONE) - 1), st.integers(1, 255), st.booleans())
def test_one_damaged_byte_never_gives_another_telegram(place: int, change: int, follow: bool) -> None:
    """Whatever one byte becomes: the telegram is refused, or it is the one that was sent (damage behind it, or in the
    case of the CRC's letters). The next telegram is always read."""
    damaged = ONE[:place] + bytes([ONE[place] ^ change]) + ONE[place + 1 :]
    right = read_telegram(candidate(ONE))
    accepted = []
    for found in candidates(damaged + (ONE if follow else b"")):
        try:
            accepted.append(read_telegram(found))
        except TelegramRefused:
            continue
    assert all(one == right for one in accepted)
    assert len(accepted) >= follow


def test_every_single_bit() -> None:
    """Exhaustive over all bits of one telegram."""
    right = read_telegram(candidate(ONE))
    for place in range(len(ONE)):
        for bit in range(8):
            damaged = ONE[:place] + bytes([ONE[place] ^ 1 << bit]) + ONE[place + 1 :]
            for found in candidates(damaged):
                try:
                    assert read_telegram(found) == right
                except TelegramRefused:
                    continue


def test_wrong_checksum() -> None:
    whole = candidate(ONE)
    assert whole.crc is not None
    with pytest.raises(ChecksumMismatch):
        read_telegram(Candidate(whole.body, whole.crc ^ 1))


def test_messages_quote_no_values() -> None:
    """A refusal may reach a log; consumption and serial number must not."""
    body = "\r\n".join(replaced("01.193*kW", "07.77x*kW")).encode()
    with pytest.raises(MalformedTelegram) as caught:
        read_telegram(candidate(seal(body)))
    assert "07.77" not in str(caught.value)
    assert "5445" not in str(caught.value)
