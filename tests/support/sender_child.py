"""A process that forks senders: each child submits numbered calls and says which are durable, until it is killed.

Importing everything takes longer than a child lives, so one parent imports once and forks. It reads orders, one a line:
``FIRST SECONDS`` kills the child after so many seconds of work, ``FIRST drain`` lets it end when nothing is open. The
child prints ``accepted N`` once the call number N is on disk; the parent prints ``gone`` after it.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path

import structlog

from keys.signers import LocalSigner
from node.clock import SystemClock
from node.ledger.endpoint import Pace
from node.ledger.fees import FeePolicy
from node.ledger.finality import Finality
from node.ledger.rpc import Rpc, RpcOptions
from node.ledger.sender import Sender, SenderOptions
from node.ledger.stored import StoredTransactions
from node.ledger.transaction import Call
from node.storage.database import Database
from node.storage.transactions import TransactionRows

TOPIC = b"\x01" * 32


def key_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


async def child(url: str, folder: Path, secret: bytes, to: bytes, first: int, *, drain: bool) -> None:
    """Submit numbers from ``first`` on, some of them twice, for ever; or only empty what is there."""
    database = await Database.open(f"sqlite:///{folder / 'node.db'}")
    options = SenderOptions(folder, Finality(1), FeePolicy(), poll=0.02, rebroadcast_after=1, idle_pause=0.0)
    pace = RpcOptions(pace=Pace(timeout=60.0, pause=0.05, longest_pause=0.2))
    async with Rpc([url], 31337, SystemClock(), pace) as rpc:
        store = StoredTransactions(TransactionRows(database))
        async with Sender(rpc, LocalSigner(secret), store, SystemClock(), lambda data: None, options) as sender:
            running = asyncio.create_task(sender.run())
            if drain:
                while sender.open_count:  # noqa: ASYNC110  (it counts what others do)
                    await asyncio.sleep(0.02)
                running.cancel()
                await asyncio.wait([running])
                await database.close()
                return

            async def submit(number: int) -> None:
                await sender.submit(key_of(number), Call(to, TOPIC + key_of(number), known_gas=60_000))
                print(f"accepted {number}", flush=True)

            number = first
            while True:
                group = list(range(number, number + 5))
                number += 5
                again = [max(first, number - 12)]
                await asyncio.gather(*(submit(each) for each in (*group, *again)))
                await asyncio.sleep(0.01)


def serve(url: str, folder: Path, secret: bytes, to: bytes) -> None:
    for line in sys.stdin:
        first, what = line.split()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            # Whoever is alive to say something has come as far as its first durable call.
            os.dup2(write, 1)
            asyncio.run(child(url, folder, secret, to, int(first), drain=what == "drain"))
            os._exit(0)
        os.close(write)
        said = b""
        with os.fdopen(read, "rb", buffering=0) as out:
            if what != "drain":
                said += out.read(64) or b""
                select.select([], [], [], float(what))
                os.kill(pid, signal.SIGKILL)
            while more := out.read(65536):
                said += more
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(said[: said.rfind(b"\n") + 1].decode())  # the last line of a killed child may be cut off
        print(f"gone {status}", flush=True)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # the output is for what is accepted
    serve(sys.argv[1], Path(sys.argv[2]), bytes.fromhex(sys.argv[3]), bytes.fromhex(sys.argv[4]))
