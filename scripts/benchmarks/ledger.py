"""The ledger client: managed transactions, verified and relayed messages, and how long until one is confirmed.

Managed means: queued durably, given a nonce, signed, saved, broadcast, found in its block, saved, final, saved.
Confirmed means: from the moment a signed message was accepted until the node knows, durably, that it is in a block.
The accepting server is a process of its own on one core; the load comes from another one.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from keys import messages as m
from keys.ids import stream_id
from keys.signers import LocalSigner
from node.api import ApiParts, ApiServer, Tokens, create_api
from node.api.facade import NodeFacade
from node.app.facade.ledger import LedgerPart
from node.app.garbage import collect_seldom
from node.app.tokens import StoredTokens
from node.clock import SystemClock
from node.config import ApiSettings
from node.ledger.batches import Batches, BatchFace
from node.ledger.endpoint import Pace
from node.ledger.finality import Finality
from node.ledger.heads import HeadSubscription, socket_urls
from node.ledger.registry import registry_batch, registry_reason, rejections
from node.ledger.relay import Relay
from node.ledger.rpc import Rpc, RpcOptions
from node.ledger.sender import Sender, SenderOptions
from node.ledger.stored import StoredTransactions
from node.ledger.transaction import Call, TxState
from node.ledger.views import RegistryViews
from node.observability import Metrics
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from node.storage.database import Database
from node.storage.transactions import TransactionRows
from node.types import address_to_text
from scripts.benchmarks.rows import Row, at_least, at_most
from tests.support.anvil import anvil

__all__ = ["measure"]

REGISTRY = b"\x42" * 20
CHAIN = 31337
MANAGED = int(os.environ.get("BENCH_TRANSACTIONS", "100000"))
OPEN_AT_ONCE = 8_000
BARE = 5_000
BLOCK_GAS = 30_000_000
VERIFIED = 4_000
RELAYED = 8_000
CONNECTIONS = 32
CONFIRMED = 200
EVERY = 0.1


def measure() -> list[Row]:
    """Four measurements, one after the other."""
    return [*asyncio.run(_managed()), _verified(), *_accepted(), *asyncio.run(_confirmed())]


@asynccontextmanager
async def _sender(rpc: Rpc, signer: LocalSigner, folder: Path, **options: Any) -> AsyncIterator[Sender]:
    database = await Database.open(f"sqlite:///{folder / 'node.db'}")
    store = StoredTransactions(TransactionRows(database))
    chosen = SenderOptions(folder, Finality(1), **options)
    try:
        async with Sender(rpc, signer, store, SystemClock(), registry_reason, chosen) as sender:
            yield sender
    finally:
        await database.close()


# --- managed transactions ---------------------------------------------------------------------------------------------


async def _managed() -> list[Row]:
    """Calls of one key to final, thousands open at once, through a real chain whose blocks have the usual size.

    The devnet's receipts of a block take time with the square of its transactions (3 s for 4,000), so blocks come four
    times a second: what is measured is the client, not that. The anchor is the same chain flooded with transactions
    that were signed before, by a key of their own, with nobody who saves or follows them.
    """
    options = AnvilOptions(block_time=0.25, prune_history=50, gas_limit=BLOCK_GAS)
    patient = RpcOptions(Pace(timeout=60.0))
    with tempfile.TemporaryDirectory() as folder:
        async with anvil(options=options) as chain, Rpc([chain.url], chain.chain_id, SystemClock(), patient) as rpc:
            signer = chain.signers[0]
            await chain.set_balance(signer.address, 10**30)
            bare = await _flooded(rpc, chain.signers[1])
            async with _sender(rpc, signer, Path(folder)) as sender:
                running = asyncio.create_task(sender.run())
                gate = asyncio.Semaphore(OPEN_AT_ONCE)

                async def one(number: int) -> int:
                    key = number.to_bytes(32, "big")
                    async with gate:
                        await sender.submit(key, Call(b"\x57" * 20, key, known_gas=40_000))
                        found = await sender.wait(key, TxState.FINAL)
                    assert found.nonce is not None
                    return found.nonce

                began, cpu = time.perf_counter(), time.process_time()
                nonces = await asyncio.gather(*(one(number) for number in range(MANAGED)))
                seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
                running.cancel()
            used = await _nonces_on_chain(rpc, signer.address)
    assert sorted(nonces) == list(range(MANAGED)), "two transactions were told the same nonce"
    wrong = sum(abs(used[nonce] - 1) for nonce in range(max(MANAGED, max(used) + 1)))
    each = f"{cpu / MANAGED * 1e6:.0f} us of the processor each, beside the chain's own"
    return [
        at_least("tx_managed_per_s", MANAGED / seconds, "per second", 1_500, f"{MANAGED} from queued to final; {each}"),
        at_least("tx_bare_flood_per_s", bare, "per second", None, f"anchor: {BARE} signed before, the same chain"),
        at_most(
            "tx_managed_nonce_gaps", wrong, "nonces", 0, f"not used exactly once in the chain's blocks, of {MANAGED}"
        ),
    ]


async def _flooded(rpc: Rpc, signer: LocalSigner) -> float:
    """Signed transactions a second that the chain takes and mines when nothing else is done for them."""
    raws = [
        await signer.sign_transaction(
            {
                "type": 2,
                "chainId": rpc.chain_id,
                "nonce": nonce,
                "to": address_to_text(b"\x57" * 20),
                "data": nonce.to_bytes(32, "big"),
                "value": 0,
                "gas": 40_000,
                "maxFeePerGas": 10**11,
                "maxPriorityFeePerGas": 10**9,
            }
        )
        for nonce in range(BARE)
    ]
    began = time.perf_counter()
    assert not any(await rpc.send_raw_many(raws)), "the chain refused one of the anchor's"
    while await rpc.nonce(signer.address) < BARE:  # noqa: ASYNC110  (the chain does it)
        await asyncio.sleep(0.05)
    return BARE / (time.perf_counter() - began)


async def _nonces_on_chain(rpc: Rpc, sender: bytes) -> Counter[int]:
    """How often each nonce was used, read from the blocks themselves."""
    used: Counter[int] = Counter()
    for height in range((await rpc.head()).number + 1):
        block = await rpc.transactions_of_block(height)
        assert block is not None, f"the chain does not have its block {height}"
        used.update(each.nonce for each in block if each.sender == sender)
    return used


# --- messages ---------------------------------------------------------------------------------------------------------


def _grants(count: int, owner: LocalSigner, domain: m.Domain, sid: bytes) -> list[tuple[m.Grant, bytes]]:
    now = int(time.time())
    made = []
    for nonce in range(count):
        grant = m.Grant(
            owner.address, b"\x05" * 20, b"\x22" * 32, (sid,), now, m.OPEN_END, 7, b"\x33" * 32, nonce, now + 86_400
        )
        made.append((grant, asyncio.run(owner.sign_message(grant, domain))))
    return made


def _verified() -> Row:
    domain = m.registry_domain(CHAIN, REGISTRY)
    owner = LocalSigner.generate()
    signed = _grants(VERIFIED, owner, domain, b"\x66" * 32)

    def verify() -> None:
        for message, signature in signed:
            m.verify(message, domain, signature, owner.address)

    times = []
    for _ in range(5):
        began = time.process_time()  # of this process alone: the row is per core, not per share of one
        verify()
        times.append(time.process_time() - began)
    return at_least("messages_verified_per_s", VERIFIED / min(times), "per second", 10_000, "grants, one core")


# --- accepting over HTTP ----------------------------------------------------------------------------------------------


def _serve(pipe: Connection, folder: str) -> None:
    """The accepting process: the real interface, relay, sender and database, on one core."""
    collect_seldom()  # as the node does
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    asyncio.run(_serve_until_told(pipe, Path(folder)))


async def _serve_until_told(pipe: Connection, folder: Path) -> None:
    clock = SystemClock()
    wallet = LocalSigner.generate()
    settings = ApiSettings.model_validate({"listen": "127.0.0.1:0"})
    async with Rpc(["http://127.0.0.1:9"], CHAIN, clock) as rpc, _sender(rpc, wallet, folder) as sender:
        relay = Relay(rpc, sender, RegistryViews(rpc, REGISTRY, CHAIN))
        chain = SimpleNamespace(domain=relay.domain, relay=relay, sender=sender)
        keys = SimpleNamespace(identity=SimpleNamespace(wallet=lambda: wallet))
        facade = LedgerPart(cast(Any, SimpleNamespace(chain=chain, keys=keys)))
        database = await Database.open(f"sqlite:///{folder / 'tokens.db'}")
        tokens = Tokens(StoredTokens(database, clock), clock)
        _, token = await tokens.issue("bench", frozenset({"consent"}))
        metrics = Metrics()
        app = create_api(cast(NodeFacade, facade), settings, tokens, ApiParts(clock, metrics))
        server = ApiServer(app, settings, metrics)
        await server.start()
        began = time.process_time()
        pipe.send((server.url, token))
        await asyncio.to_thread(pipe.recv)
        pipe.send((sender.open_count, time.process_time() - began))
        await server.close()
        await database.close()


def _accepted() -> list[Row]:
    domain = m.registry_domain(CHAIN, REGISTRY)
    owner = LocalSigner.generate()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    with tempfile.TemporaryDirectory() as folder:
        context: Any = multiprocessing.get_context("spawn")
        server = context.Process(target=_serve, args=(theirs, folder), daemon=False)
        server.start()
        url, token = ours.recv()
        bodies = [
            json.dumps({"typed_data": m.typed_data(message, domain), "signatures": ["0x" + signature.hex()]}).encode()
            for message, signature in _grants(RELAYED, owner, domain, b"\x66" * 32)
        ]
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, set(sorted(cores)[1:]) or cores)
        seconds, latencies = asyncio.run(_load(url, token, bodies))
        os.sched_setaffinity(0, cores)
        ours.send("stop")
        durable, spent = ours.recv()
        server.join()
    assert durable == RELAYED, f"{durable} of {RELAYED} are in the book"
    latencies.sort()
    p99 = latencies[len(latencies) * 99 // 100] * 1000
    how = f"server on one core, {CONNECTIONS} keep-alive connections, prepared bodies, durable; p99 {p99:.0f} ms, "
    how += f"{spent / RELAYED * 1e6:.0f} us of the server's core for each"
    return [
        at_least("relay_accept_per_s", RELAYED / seconds, "per second", 2_000, how),
        at_most("relay_accept_p99_ms", p99, "ms", None, "of the same run"),
    ]


async def _load(url: str, token: str, bodies: list[bytes]) -> tuple[float, list[float]]:
    """Send prepared requests over keep-alive connections; seconds in all, and seconds for each answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    head = (
        f"POST /api/v1/relay HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()
    requests = [head + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
    latencies: list[float] = []

    async def connection(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for request in requests[number::CONNECTIONS]:
            began = time.perf_counter()
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 202"), answer
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(connection(number) for number in range(CONNECTIONS)))
    return time.perf_counter() - began, latencies


# --- confirmation -----------------------------------------------------------------------------------------------------


async def _confirmed() -> list[Row]:
    """Grants of one owner, one every tenth of a second, on the real registry with one-second blocks."""
    clock, payer, owner, writer = SystemClock(), LocalSigner.generate(), LocalSigner.generate(), LocalSigner.generate()
    with tempfile.TemporaryDirectory() as folder:
        async with Devnet(DevnetOptions(AnvilOptions(block_time=1), fund=[payer.address]), clock) as devnet:
            rpc, address = devnet.rpc, devnet.registry.address
            views = RegistryViews(rpc, address, devnet.chain_id, devnet.registry.block)
            async with _sender(rpc, payer, Path(folder)) as sender:
                face = BatchFace(lambda calls: registry_batch(address, calls), rejections, registry_reason)
                batches = Batches(rpc, sender, face, clock)
                heads = HeadSubscription(socket_urls([rpc.endpoints[0].url]), sender.wake)
                tasks = [asyncio.create_task(each.run()) for each in (sender, batches, heads)]
                relay = Relay(rpc, sender, views)
                now = clock.now()
                stream = m.RegisterStream(
                    owner.address, b"\x01" * 32, writer.address, b"\x11" * 32, now - 1_000, 10, 1 << 200, now + 3_600
                )
                signatures = [await each.sign_message(stream, relay.domain) for each in (owner, writer)]
                accepted = await relay.accept(stream, signatures)
                await sender.wait(accepted.digest, TxState.FINAL)
                sid = stream_id(devnet.chain_id, address, stream.owner, stream.name_hash)
                mined, final = await _followed(relay, sender, owner, sid)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
    how = f"{CONFIRMED} messages, {1 / EVERY:.0f} a second, batched; FireFly about 7 s"
    return [
        at_most("confirm_p50_s", mined[len(mined) // 2], "s", 2.0, how),
        at_most("confirm_p95_s", mined[len(mined) * 95 // 100], "s", 3.5, how),
        at_most("confirm_final_p50_s", final[len(final) // 2], "s", None, "with one block on top"),
        at_most("confirm_final_p95_s", final[len(final) * 95 // 100], "s", None, "with one block on top"),
    ]


async def _followed(relay: Relay, sender: Sender, owner: LocalSigner, sid: bytes) -> tuple[list[float], list[float]]:
    mined: list[float] = []
    final: list[float] = []

    async def one(nonce: int) -> None:
        now = int(time.time())
        grant = m.Grant(
            owner.address, b"\x05" * 20, b"\x22" * 32, (sid,), now, m.OPEN_END, 7, b"\x33" * 32, nonce, now + 3_600
        )
        signature = await owner.sign_message(grant, relay.domain)
        began = time.perf_counter()
        digest = (await relay.accept(grant, [signature])).digest
        await sender.wait(digest, TxState.MINED)
        mined.append(time.perf_counter() - began)
        await sender.wait(digest, TxState.FINAL)
        final.append(time.perf_counter() - began)

    waiting = []
    for nonce in range(CONFIRMED):
        waiting.append(asyncio.create_task(one(nonce)))
        await asyncio.sleep(EVERY)
    await asyncio.gather(*waiting)
    return sorted(mined), sorted(final)
