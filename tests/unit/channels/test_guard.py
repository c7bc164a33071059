"""One process per data folder, and an eye on the own topic (channels.md 4, rule 10)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from channels.envelope import Lane
from channels.errors import FolderLocked, ForeignWriter
from channels.guard import FolderLock, OwnTopicWatch

SID = b"\x01" * 32
OURS, EARLIER, FOREIGN = b"\x11" * 16, b"\x12" * 16, b"\x13" * 16
ROOT = Path(__file__).parents[3]
HOLD = """
import sys, time
from pathlib import Path
from channels.guard import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def envelope(seq: int, inst: bytes, sid: bytes = SID, last: bytes = b"\x00") -> bytes:
    return Lane(sid, 1, 5, inst).prefix() + seq.to_bytes(8, "big") + bytes(32) + bytes(20) + last


def hold(folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_second_process_is_refused_with_the_first_ones_id(tmp_path: Path) -> None:
    """operations.md test 14: two gateways on one host, refused."""
    process = hold(tmp_path)
    try:
        with pytest.raises(FolderLocked) as caught, FolderLock(tmp_path):
            pass
        assert caught.value.pid == process.pid
        assert str(process.pid) in str(caught.value)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_the_kernel_frees_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    process = hold(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    with FolderLock(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_the_same_process_cannot_take_it_twice_but_again(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "new"):
        with pytest.raises(FolderLocked), FolderLock(tmp_path / "new"):
            pass
        with pytest.raises(FolderLocked), FolderLock(tmp_path / "new"):
            pass
    with FolderLock(tmp_path / "new"):
        pass


def test_a_lock_file_full_of_nonsense_is_no_obstacle_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"\xff\x00 not a number")
    with FolderLock(tmp_path):
        (tmp_path / "lock").write_bytes(b"\xff\x00 not a number")
        with pytest.raises(FolderLocked) as caught, FolderLock(tmp_path):
            pass
        assert caught.value.pid == 0


def test_a_second_writer_is_noticed_with_its_envelope_as_evidence() -> None:
    """Attack: a copy of the gateway runs elsewhere and seals under the same keys."""
    watch = OwnTopicWatch(SID, OURS, frozenset({EARLIER}))
    watch.look(envelope(11, OURS), 10)
    watch.look(envelope(11, EARLIER), 10)
    foreign = envelope(11, FOREIGN)
    with pytest.raises(ForeignWriter) as caught:
        watch.look(foreign, 10)
    assert (caught.value.instance, caught.value.evidence) == (FOREIGN, foreign)


def test_a_copy_that_lags_behind_is_noticed_by_its_fork() -> None:
    watch = OwnTopicWatch(SID, OURS)
    ours, theirs = envelope(7, OURS), envelope(7, FOREIGN)
    watch.look(theirs, 10)
    watch.look(theirs, 10, own_at_seq=theirs)
    with pytest.raises(ForeignWriter):
        watch.look(theirs, 10, own_at_seq=ours)


@pytest.mark.parametrize("data", [b"", b"\x00" * 300, envelope(11, FOREIGN, b"\x02" * 32), envelope(11, FOREIGN)[:90]])
def test_bytes_that_are_no_envelope_of_the_stream_stop_nothing(data: bytes) -> None:
    OwnTopicWatch(SID, OURS).look(data, 10)
