"""What a node refuses says why and what to do: pairing codes, requests, chain id, money, oversize and slow callers; at
the end the owner puts the gateway out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio
from eth_utils.crypto import keccak

from node.app.demo.wirelog import envelopes_of
from node.errors import ExitCode
from node.services.pairing.code import ALPHABET, parse_code
from node.services.pairing.errors import BadCode
from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.nodes import NodeProcess, Refusal
from tests.support.processes import PATIENCE, PROGRAM, Process, until
from tests.support.wire import nothing_is_sealed, unbroken

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

IMPATIENT = {"api.idle_timeout_s": 2, "api.body_timeout_s": 2, "api.max_connections_per_address": 16}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    async with clusters(Plan(settings={"alpha": IMPATIENT})) as cluster:
        yield cluster


async def _refused(node: NodeProcess, path: str, body: Mapping[str, object] | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await node.post(path, body)
    assert caught.value.problem["remedy"], caught.value.problem
    assert caught.value.problem["code"]
    return caught.value


def _other(code: str) -> str:
    """A code with another first symbol whose check symbol is right, as the gateway of the neighbour may show one."""
    for first in ALPHABET:
        for last in ALPHABET:
            wrong = first + code[1:-1] + last
            if wrong[0] != code[0] and _checks(wrong):
                return wrong
    raise AssertionError("no such code")


def _checks(code: str) -> bool:
    """Whether the product would take this text for a code at all."""
    try:
        parse_code(code)
    except BadCode:
        return False
    return True


async def test_five_wrong_codes_lock_the_gateway_until_a_new_one_is_made(cluster: Cluster) -> None:
    """permissions.md 2: every try costs an exchange, and five wrong ones end it, also for who knows the code."""
    code = await cluster.gateway.post("/pairing/code")
    wrong = {"code": _other(code["code"]), "url": cluster.gateway.url}
    for left in (4, 3, 2, 1, 0):
        refusal = await _refused(cluster.home, "/pairing", wrong)
        assert refusal.status == 403
        assert "code" in refusal.words
        state = await cluster.gateway.get("/pairing")
        assert state["tries_left"] in ((left,) if left else (0, None))
    locked = await _refused(cluster.home, "/pairing", {"code": code["code"], "url": cluster.gateway.url})
    assert "new code" in locked.words
    typing_error = await _refused(
        cluster.home, "/pairing", {"code": code["code"][:-1] + "?", "url": cluster.gateway.url}
    )
    assert typing_error.problem["code"] in ("bad_code", "invalid_input")
    nobody = await _refused(cluster.home, "/pairing", {"code": code["code"], "url": "http://127.0.0.1:9"})
    assert "127.0.0.1:9" in nobody.words
    await cluster.pair()
    again = await _refused(cluster.home, "/pairing", {"code": code["qr"]})
    assert "unpair" in again.words


async def test_unknown_and_ended_requests_are_refused(cluster: Cluster) -> None:
    """Nothing is granted that nobody asks for any more."""
    unknown = await _refused(cluster.home, f"/requests/0x{'5a' * 32}/grant", {})
    assert unknown.status == 404
    denied = await cluster.ask("alpha")
    await cluster.home.post(f"/requests/{denied}/deny", {"reason": "not needed"})
    ended = await _refused(cluster.home, f"/requests/{denied}/grant", {})
    assert ended.status == 409
    assert "denied" in ended.words
    twice = await _refused(cluster.home, f"/requests/{denied}/deny", {})
    assert twice.status == 410
    empty = await cluster.ask("alpha", start=cluster.genesis + 1, end=cluster.genesis + 59)
    rounded = await _refused(cluster.home, f"/requests/{empty}/grant", {})
    assert rounded.status == 403
    assert "no whole slot" in rounded.words
    none = await _refused(cluster.home, f"/consents/0x{'5a' * 32}/revoke", {})
    assert none.status == 404
    assert await cluster.home.items("/consents") == []


async def test_a_node_for_another_chain_stops_and_names_both(cluster: Cluster) -> None:
    """Exit code 3 with both chain ids, before anything is signed for the wrong chain."""
    stray = NodeProcess("stray", "provider", await cluster.around(), cluster.nodes["alpha"].settings)
    stray.init()
    cluster.adopt(stray)
    await stray.launch(sets={"chain.chain_id": 1})
    assert await stray.process.ended() == ExitCode.CONFIG
    said = stray.process.said()
    assert "31337" in said
    assert "chain_id" in said or "chain id" in said.lower()
    assert "Traceback" not in said


async def test_a_node_for_a_contract_that_is_no_registry_stops(cluster: Cluster) -> None:
    """A typing error in the address must not look like a registry without events."""
    stray = NodeProcess("astray", "provider", await cluster.around(), cluster.nodes["alpha"].settings)
    stray.init()
    cluster.adopt(stray)
    await stray.launch(sets={"chain.registry": "0x" + "77" * 20})
    assert await stray.process.ended() in (ExitCode.CONFIG, ExitCode.NEEDS_PERSON)
    assert "0x" + "77" * 20 in stray.process.said().lower()
    assert "Traceback" not in stray.process.said()


async def test_an_unfunded_sender_is_named_and_goes_on_once_it_is_funded(cluster: Cluster) -> None:
    """The message names the address to fund; the Grant waits and is neither lost nor refused."""
    address = cluster.home.sender().address
    await cluster.devnet.fund(address, 0)
    request = await cluster.ask("alpha")
    grant = (await cluster.home.post(f"/requests/{request}/grant", {}))["digest"]

    async def named() -> bool:
        ready = await cluster.home.raw("GET", "/status")
        said = cluster.home.process.said().lower()
        return ready.status == 200 and "sender_waits" in said

    await until("the home says what it lacks", named)

    async def named_to_callers() -> bool:
        checks = await _readiness(cluster.home)
        return any("0x" + address.hex() in str(check).lower() for check in checks if not check["ok"])

    await until("its readiness names the address", named_to_callers)
    assert not any(c["state"] == "live" for c in await cluster.home.items("/consents"))
    await cluster.devnet.fund(address)
    await cluster.flows("alpha")

    async def live() -> bool:
        return bool((await cluster.home.get(f"/consents/{grant}"))["state"] == "live")

    await until("the consent is live", live)


async def _readiness(node: NodeProcess) -> list[dict[str, object]]:
    answer = await node.raw("GET", "/readiness")
    assert answer.status in (200, 503), answer
    found: list[dict[str, object]] = json.loads(answer.body)["checks"]
    return found


async def _send(port: int, *parts: bytes, pause: float = 0.0) -> tuple[bytes, float]:
    """Sends the parts with pauses, until the other side ends the connection: what it said, and after how long."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
            if reader.at_eof():
                break
    except ConnectionError:
        pass
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answer, time.monotonic() - began


UNCUT = 400
"""Pieces, 0.3 s apart, of a slow caller: it would be busy for two minutes if nobody cut it."""


async def test_slow_and_oversize_callers_are_cut_and_nobody_else_notices(cluster: Cluster) -> None:
    """Slow headers, slow bodies, silence and bodies beyond the limit, all at once, beside a caller who is served."""
    alpha = cluster.nodes["alpha"]
    head = b"POST /api/v1/inbox HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
    attacks = [
        _send(alpha.port, *[bytes([byte]) for byte in b"GET /livez HTTP/1.1\r\nX: " + b"a" * UNCUT], pause=0.3),
        _send(alpha.port, head + b"Content-Length: 1000\r\n\r\n", *[b"x"] * UNCUT, pause=0.3),
        _send(alpha.port, b""),
        _send(alpha.port, head + b"Content-Length: 99999999\r\n\r\n" + b"x" * 1000),
        _send(alpha.port, head + b"Transfer-Encoding: chunked\r\n\r\n", *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 8),
        _send(alpha.port, b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]

    async def served() -> None:
        """A refusal, or no answer in time, fails here."""
        for _ in range(10):
            await alpha.get("/status")
            await asyncio.sleep(0.2)

    results, _ = await asyncio.gather(asyncio.gather(*attacks), served())
    _, slow_body, silent, declared, chunked, line = results
    for _, took in results:
        assert took < UNCUT * 0.3, "it was not cut, it was done"
    assert b" 408 " in slow_body[0] or slow_body[0] == b""
    assert silent[0] == b"" or b" 408 " in silent[0]
    assert b" 413 " in declared[0]
    assert b" 413 " in chunked[0] or chunked[0] == b""
    assert line[0].startswith((b"HTTP/1.0 4", b"HTTP/1.1 4")) or line[0] == b""
    # An end to a flood of connections from one address, too: those beyond the limit are closed at once.
    crowd = [await asyncio.open_connection("127.0.0.1", alpha.port) for _ in range(24)]

    async def some_closed() -> bool:
        return sum(reader.at_eof() for reader, _ in crowd) >= 8

    reading = [asyncio.create_task(reader.read(1)) for reader, _ in crowd]  # the end shows only to who reads
    await until("connections beyond the limit are closed", some_closed)
    for _, writer in crowd:
        writer.close()
    await asyncio.gather(*reading, return_exceptions=True)
    await until("and the node answers", lambda: _answers(alpha))


async def _answers(node: NodeProcess) -> bool:
    try:
        return (await node.raw("GET", "/status")).status == 200
    except OSError:
        return False


async def _writer(cluster: Cluster, sid: str) -> bytes:
    """Who may write a stream, as the contract itself says."""
    data = "0x" + (keccak(text="streams(bytes32)")[:4] + bytes.fromhex(sid[2:])).hex()
    call = {"to": "0x" + cluster.devnet.registry.address.hex(), "data": data}
    answer = bytes.fromhex((await cluster.devnet.rpc.request("eth_call", [call, "latest"]))[2:])
    owner, writer = answer[12:32], answer[140:160]  # words 0 and 4 of the struct
    assert owner == cluster.home.identity.wallet().address
    return writer


async def _both_unpaired(cluster: Cluster) -> bool:
    states = [(await node.get("/pairing"))["state"] for node in (cluster.home, cluster.gateway)]
    return states == ["unpaired", "unpaired"]


async def _unpair(cluster: Cluster) -> None:
    """As its owner does it; returns at the first sight of a chain on which the stream has no writer."""
    command = (*PROGRAM, "--config", str(cluster.home.config), "unpair", "--yes", "--json")
    typed = Process("unpair", command, cluster.root / "logs" / "unpair.log")
    await typed.start()
    assert await typed.ended() == 0, typed.said()

    async def out() -> bool:
        return await _writer(cluster, cluster.raw) == bytes(20)

    await until("the stream has no writer", out, every=0.02)


async def test_the_owner_puts_the_gateway_out_and_may_take_it_back(cluster: Cluster) -> None:
    """permissions.md 2: signed by the owner alone it ends the right to write; a new pairing begins new streams, which
    are granted by their names, and ends like the first one."""
    past = bytes.fromhex(cluster.raw[2:])
    await cluster.flows("home")
    former = cluster.raw
    assert await _writer(cluster, former) != bytes(20)
    await _unpair(cluster)
    await until("both say that they are unpaired", lambda: _both_unpaired(cluster))
    await nothing_is_sealed(cluster, past, 3)
    unbroken(cluster.wire.heard, past)

    for round_ in range(2):  # among two streams of one name the living one is not found by chance
        await cluster.pair()
        assert cluster.raw != former
        assert await _writer(cluster, cluster.raw) != bytes(20)
        await cluster.grant("alpha", purpose=f"again {round_}")
        if not round_:
            former = cluster.raw
            await _unpair(cluster)
            await until("both say that they are unpaired", lambda: _both_unpaired(cluster))


@pytest.mark.long
@pytest.mark.alone
async def test_a_gateway_that_is_put_out_stops_within_half_a_second(cluster: Cluster) -> None:
    """From 0.5 s after the first block without its right to write, on a machine that does nothing else."""
    if await _both_unpaired(cluster):
        await cluster.pair()
    sid = bytes.fromhex(cluster.raw[2:])
    await cluster.flows("home")
    await _unpair(cluster)
    out = time.time() + 0.5
    await asyncio.sleep(5)
    assert [envelope for envelope in envelopes_of(cluster.wire.heard, sid) if envelope.at > out] == []
