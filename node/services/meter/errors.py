"""Errors of the meter service.

MeterError (NodeError)
├── TelegramRefused                 this telegram is skipped and counted; the next one may be fine
│   ├── ChecksumMismatch            CRC16 does not fit: damaged on the wire
│   ├── UnsupportedVersion          DSMR 2.2, 3 or something that is not DSMR 4 or 5
│   └── MalformedTelegram           the checksum fits, the content is not what DSMR 4/5 allows
├── SavedStateError                 caller's fault: bytes that are not a state this version wrote
├── RecordingUnreadable             caller's fault: the recorded telegrams cannot be read
└── DeviceUnavailable               recoverable: the serial device is missing or busy; the source tries again by itself
"""

from __future__ import annotations

from typing import ClassVar

from node.errors import ExitCode, NodeError

__all__ = [
    "ChecksumMismatch",
    "DeviceUnavailable",
    "MalformedTelegram",
    "MeterError",
    "RecordingUnreadable",
    "SavedStateError",
    "TelegramRefused",
    "UnsupportedVersion",
]


class MeterError(NodeError):
    """Root of the meter service's errors."""

    code = "meter"


class TelegramRefused(MeterError):
    """One telegram cannot be used. `cause` is the counter that it goes to. Messages never quote telegram values,
    because a telegram carries the household's consumption and the meter's serial number."""

    code = "telegram_refused"
    cause: ClassVar[str] = "malformed"
    default_remedy = "Nothing to do for a single one; if it repeats, check the P1 cable and the meter's DSMR version."


class ChecksumMismatch(TelegramRefused):
    """The CRC16 at the end does not fit the bytes before it."""

    code = "telegram_checksum"
    cause = "checksum"


class UnsupportedVersion(TelegramRefused):
    """A telegram of another DSMR generation than 4 and 5."""

    code = "telegram_version"
    cause = "unsupported_version"
    default_remedy = "Only DSMR 4 and 5 are read; ask the grid operator for the meter's P1 version."


class MalformedTelegram(TelegramRefused):
    """The checksum fits, so the meter really sent this, but it breaks DSMR 4/5."""

    code = "telegram_malformed"


class SavedStateError(MeterError):
    """Saved bytes that are not a state of this version, or not of this rule."""

    code = "meter_state"
    default_remedy = "Start from an empty state; the derived stream then begins with an incomplete interval."


class RecordingUnreadable(MeterError):
    """The file with recorded telegrams cannot be read."""

    code = "meter_recording"
    exit_code = ExitCode.CONFIG
    default_remedy = "Check [meter] path and the file's permissions."


class DeviceUnavailable(MeterError):
    """The serial device cannot be opened or has vanished."""

    code = "meter_device"
    status = 503
    exit_code = ExitCode.NOT_REACHABLE
    default_remedy = "Plug the P1 cable in; check [meter] device and membership of the group that owns it (dialout)."
