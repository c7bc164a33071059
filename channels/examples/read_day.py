"""Opens a stream with the importable reader, without a node, and draws a day:

    python -m channels.examples.read_day stream.json sealing-key.hex < messages.jsonl > day.svg

stream.json: what the registry says of the stream. messages.jsonl: what was published, from any broker or store; each
line {"kind": "capsule" | "commits" | "data" | "checkpoints", "hex": "..."}.
"""

import json
import sys
from pathlib import Path

from channels.errors import ChannelError
from channels.examples.plot_day import drawing, quarters
from channels.reader import Progress, Reader
from channels.readings import decode_batch
from channels.slots import StreamParams
from keys.messages import registry_domain
from keys.sealing import SealingKey

__all__ = ["Registry"]

POWER = "1-0:1.7.0"


class Registry:
    """The chain as far as a reader asks it; a real program looks it up at an RPC endpoint of its own."""

    def commit_hash(self, epoch: int) -> bytes | None:
        return bytes.fromhex(said["commits"].get(str(epoch), "")) or None

    def live_grants(self, block: int) -> int:
        return int(said["grants"])


said = json.loads(Path(sys.argv[1]).read_text())
sid, at, writer, public, grant = (bytes.fromhex(said[n]) for n in ("sid", "registry", "writer", "stream_key", "grant"))
params = StreamParams(sid, said["genesis"], said["slot"], registry_domain(said["chain"], at), writer, public)
reader, facts = Reader(params, grant), Registry()
key = SealingKey.from_bytes(bytes.fromhex(Path(sys.argv[2]).read_text()))
taking = {"commits": lambda raw: reader.process_commit(raw, facts), "data": lambda raw: reader.open([raw])}
opened, final = dict[int, bytes](), set[int]()
for message in map(json.loads, sys.stdin):
    kind, raw, progress = message["kind"], bytes.fromhex(message["hex"]), Progress()
    try:
        if kind == "capsule":
            reader.receive_capsule(raw, key, facts)
        else:
            progress = taking.get(kind, reader.accept_checkpoint)(raw)
    except ChannelError as error:
        sys.stderr.write(f"{kind}: {error}\n")
    sys.stderr.writelines(f"{type(alarm).__name__}\n" for alarm in progress.alarms)
    for seq in [seq for seq in opened if any(first <= seq <= last for first, last in progress.withdrawn)]:
        del opened[seq]
    opened |= {each.seq: each.plaintext for each in progress.readings}
    final.update(seq for first, last in progress.final for seq in range(first, last + 1))
rows = (row for seq in sorted(final & opened.keys()) for row in decode_batch(opened[seq]))
lines = (json.dumps({"time": row.meter_time, "provisional": False, "values": {**row.values}}) for row in rows)
sys.stdout.write(drawing(quarters(lines, POWER), POWER))
