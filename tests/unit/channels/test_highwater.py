"""The high-water file (channels.md 4, rule 10)."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from channels.errors import HighWaterBehind, HighWaterDamaged, HighWaterMissing
from channels.highwater import HighWater, Mark
from channels.position import START, Position

SID, OTHER = b"\x01" * 32, b"\x02" * 32
HERE = Position(3, 50, 700, b"\x07" * 32, 690)


def mark_in(folder: Path) -> Mark:
    return HighWater(folder).open(SID, fresh=True)


def the_file(folder: Path) -> Path:
    return folder / f"{SID.hex()}.mark"


def test_a_mark_outlives_the_process(tmp_path: Path) -> None:
    mark = mark_in(tmp_path)
    assert (mark.position, mark.restored) == (START, False)
    mark.advance(HERE)
    again = HighWater(tmp_path).open(SID, fresh=False)
    assert (again.position, again.restored) == (HERE, False), "an ordinary restart does not wait"
    assert HighWater(tmp_path).open(OTHER, fresh=True).position == START
    assert stat.S_IMODE(os.stat(the_file(tmp_path)).st_mode) == 0o600
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".mark", ".mark"], "nothing half-written is left"


def test_a_stream_without_a_reading_yet_starts_again(tmp_path: Path) -> None:
    """Its first commit comes before its first reading: a restart in between is no restored backup."""
    mark_in(tmp_path)
    again = HighWater(tmp_path).open(SID, fresh=False)
    assert (again.position, again.restored) == (START, False)


def test_a_writer_refuses_to_start_without_its_mark(tmp_path: Path) -> None:
    """Attack: an old copy of the folder, or one without its marks, goes on with used sequence numbers."""
    mark_in(tmp_path).advance(HERE)
    the_file(tmp_path).unlink()
    with pytest.raises(HighWaterMissing):
        HighWater(tmp_path).open(SID, fresh=False)
    told = HighWater(tmp_path, start_without=True).open(SID, fresh=False)
    assert told.restored, "told to go on, it listens first"
    assert not HighWater(tmp_path, start_without=True).open(SID, fresh=True).restored


@pytest.mark.parametrize(
    "position",
    [
        replace(HERE, seq=699),
        replace(HERE, epoch=2, seq=800),
        replace(HERE, last_hash=b"\x08" * 32),
        START,
    ],
)
def test_a_mark_never_goes_back_and_never_forks(tmp_path: Path, position: Position) -> None:
    mark = mark_in(tmp_path)
    mark.advance(HERE)
    with pytest.raises(HighWaterBehind):
        mark.advance(position)
    assert HighWater(tmp_path).open(SID, fresh=False).position == HERE


def test_a_mark_goes_forward_and_may_stand(tmp_path: Path) -> None:
    mark = mark_in(tmp_path)
    for position in (HERE, HERE, replace(HERE, covered_seq=700), replace(HERE, epoch=4, seq=701)):
        mark.advance(position)
        assert HighWater(tmp_path).open(SID, fresh=False).position == position


def test_any_damage_is_named_and_not_guessed_around(tmp_path: Path) -> None:
    mark_in(tmp_path).advance(HERE)
    whole = the_file(tmp_path).read_bytes()
    broken = [whole[:-1], whole + b"\x00", b"", whole[8:]]
    broken += [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(len(whole))]
    for data in broken:
        the_file(tmp_path).write_bytes(data)
        with pytest.raises(HighWaterDamaged):
            HighWater(tmp_path, start_without=True).open(SID, fresh=False)
    the_file(tmp_path).unlink()
    the_file(tmp_path).mkdir()
    with pytest.raises(HighWaterDamaged):
        HighWater(tmp_path, start_without=True).open(SID, fresh=True)


def test_a_half_written_successor_does_no_harm(tmp_path: Path) -> None:
    """A crash between writing and renaming leaves the old mark."""
    mark_in(tmp_path).advance(HERE)
    the_file(tmp_path).with_suffix(".new").write_bytes(b"half")
    again = HighWater(tmp_path).open(SID, fresh=False)
    assert again.position == HERE
    again.advance(replace(HERE, seq=701))
    assert HighWater(tmp_path).open(SID, fresh=False).position.seq == 701


@pytest.mark.parametrize(
    ("chain", "recorded", "retained", "restored"),
    [
        (3, 3, 700, False),
        (4, 4, 0, False),  # a commit was included and nothing sealed under it: an ordinary crash
        (4, 3, 0, True),  # the chain knows a commit that this folder never made
        (3, 3, 701, True),  # the topic knows envelopes that this folder never sealed
        (9, 2, 900, True),
    ],
)
def test_a_restored_folder_is_recognised(
    tmp_path: Path, chain: int, recorded: int, retained: int, restored: bool
) -> None:
    mark = mark_in(tmp_path)
    mark.advance(HERE)
    mark.compare(chain_epoch=chain, recorded_epoch=recorded, retained_seq=retained)
    assert mark.restored is restored
