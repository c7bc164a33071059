"""The example that opens a stream by itself: run as it is shown, over what was really published, it draws the day."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

from channels.readings import Measurement, encode_batch
from tests.unit.channels.world import GENESIS, SLOT, World, at, evidence

SVG = "{http://www.w3.org/2000/svg}"
PROGRAM = Path(__file__).parents[4] / "channels" / "examples" / "read_day.py"
MORNING = -(-GENESIS // 86_400) * 86_400


def watts(time: int) -> int:
    """A day with a peak at breakfast and one in the evening."""
    hour = time % 86_400 / 3600
    return round(180 + 1900 * math.exp(-((hour - 7.5) ** 2) / 2) + 2600 * math.exp(-((hour - 19) ** 2) / 5))


def published() -> tuple[World, dict[str, object], str, list[dict[str, str]]]:
    """A day in minutes, sealed for one reader whose neighbour is removed at noon, with a forgery thrown in."""
    start = (MORNING - GENESIS) // SLOT
    world = World.start(start, readers=2)
    member, key = world.members[1], world.keys[1]
    messages = [("commits", data) for data in world.commits]
    messages.insert(0, ("capsule", world.writer.welcome(member, key.public_bytes)))
    for minute in range(0, 1440, 15):
        slot = start + minute
        if minute == 720:
            world.commit(slot, removed=[2])
            messages.append(("commits", world.commits[-1]))
        times = [at(slot + number) for number in range(15)]
        batch = encode_batch([Measurement(time, time, 0, {"1-0:1.7.0": watts(time)}) for time in times])
        sealed = world.writer.seal([(times[0], batch)], evidence(times[0]))
        messages += [("checkpoints", data) for data in sealed.checkpoints]
        messages += [("data", data) for data in sealed.envelopes]
    forged = messages[-1][1][:-1] + bytes([messages[-1][1][-1] ^ 1])
    messages.insert(-1, ("data", forged))
    messages += [("checkpoints", data) for data in world.writer.shutdown()]
    params = world.writer.params
    assert params.domain.verifying_contract is not None
    said = {
        "sid": params.sid.hex(),
        "registry": params.domain.verifying_contract.hex(),
        "chain": params.domain.chain_id,
        "writer": params.writer.hex(),
        "stream_key": params.stream_public.hex(),
        "grant": member.grant_id.hex(),
        "genesis": params.genesis,
        "slot": params.slot_seconds,
        "commits": {str(epoch): found.hex() for epoch, found in world.registry.hashes.items()},
        "grants": 2,
    }
    lines = [{"kind": kind, "hex": data.hex()} for kind, data in messages]
    return world, said, key.to_bytes().hex(), lines


def run(folder: Path, said: object, key: str, lines: list[dict[str, str]]) -> subprocess.CompletedProcess[str]:
    (folder / "stream.json").write_text(json.dumps(said))
    (folder / "key.hex").write_text(key)
    return subprocess.run(
        [sys.executable, "-m", "channels.examples.read_day", folder / "stream.json", folder / "key.hex"],
        input="\n".join(map(json.dumps, lines)),
        capture_output=True,
        text=True,
        check=True,
    )


def test_it_is_at_most_sixty_lines() -> None:
    assert len(PROGRAM.read_text().splitlines()) <= 60


def test_a_day_is_opened_and_drawn(tmp_path: Path) -> None:
    _, said, key, lines = published()
    done = run(tmp_path, said, key, lines)
    bars = ElementTree.fromstring(done.stdout).findall(f"{SVG}rect")
    quarters: dict[int, list[int]] = defaultdict(list)
    for minute in range(1440):
        time = at((MORNING - GENESIS) // SLOT + minute)
        quarters[time // 900].append(watts(time))
    assert [int(bar[0].text or "") for bar in bars] == [
        sum(each) // len(each) for each in list(quarters.values())[-96:]
    ]
    assert done.stderr.splitlines() == ["commits: epoch 1 was followed already", "Damaged"]


def test_what_no_checkpoint_covers_is_not_drawn(tmp_path: Path) -> None:
    _, said, key, lines = published()
    done = run(tmp_path, said, key, [line for line in lines if line["kind"] != "checkpoints"])
    assert ElementTree.fromstring(done.stdout).findall(f"{SVG}rect") == []


def test_another_chain_than_the_one_signed_for_opens_nothing(tmp_path: Path) -> None:
    _, said, key, lines = published()
    done = run(tmp_path, said | {"chain": 1}, key, lines)
    assert ElementTree.fromstring(done.stdout).findall(f"{SVG}rect") == []
    assert "capsule" in done.stderr
