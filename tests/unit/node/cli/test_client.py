"""The client of the REST interface: TLS by the node's own certificate, broken connections, strange answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.cli.client import ApiClient, RemoteProblem
from node.config import LocalAccess
from node.errors import NodeUnreachable
from tests.unit.node.api.serving import served, settings

T = TypeVar("T")


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for a name that nobody connects to."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, private


@contextmanager
def in_thread(server: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Runs an async server in a thread with its own loop, since the client brings its own."""
    found: list[T] = []
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with server as running:
            found.append(running)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


def test_only_the_named_certificate_is_trusted(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "node")
    other, _ = certificate(tmp_path, "other")
    with in_thread(served(settings(tls_cert=cert, tls_key=key))) as running:
        access = LocalAccess(running.server.url, running.admin, cert)
        assert access.url.startswith("https://")
        assert ApiClient(access).get("/status")["name"] == "House 7"
        for wrong in (None, other):
            with pytest.raises(NodeUnreachable):
                ApiClient(LocalAccess(access.url, access.token, wrong)).get("/status")


@asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[tuple[ApiClient, list[bytes]]]:
    """A server that answers its nth connection with the nth bytes and closes; and the heads that it was sent."""
    left, heads = list(answers), list[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield ApiClient(LocalAccess(f"http://127.0.0.1:{port}", "t")), heads
    finally:
        server.close()


def answer(status: int, body: bytes, extra: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def header(head: bytes, name: str) -> bytes:
    return next(line for line in head.split(b"\r\n") if line.lower().startswith(name.encode()))


def test_a_broken_connection_is_tried_again_with_the_same_key() -> None:
    with in_thread(scripted(b"", answer(201, b'{"id": 1}'))) as (client, heads):
        assert client.post("/requests", {}) == {"id": 1}
        first, second = heads
        assert header(first, "idempotency-key") == header(second, "idempotency-key")


def test_a_list_that_comes_page_by_page_is_read_to_its_end() -> None:
    pages = (b'{"items": [{"id": 3}, {"id": 2}], "next": 2}', b'{"items": [{"id": 1}], "next": null}')
    with in_thread(scripted(*(answer(200, page) for page in pages))) as (client, heads):
        assert [each["id"] for each in client.items("/consents")] == [3, 2, 1]
        assert [head.split()[1] for head in heads] == [b"/api/v1/consents", b"/api/v1/consents?before=2"]


def test_a_connection_that_stays_broken_is_said() -> None:
    with in_thread(scripted(b"", b"")) as (client, heads):
        with pytest.raises(NodeUnreachable):
            client.post("/requests", {})
        assert len(heads) == 2


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"detail": 7, "remedy": [], "code": {}}', b"\xff"])
def test_an_answer_that_is_no_problem_is_still_an_error(body: bytes) -> None:
    with in_thread(scripted(answer(403, body))) as (client, _), pytest.raises(RemoteProblem) as caught:
        client.get("/status")
    assert caught.value.remote_exit == 5
    assert "403" in caught.value.message


def test_a_redirect_never_carries_the_token_away() -> None:
    with in_thread(scripted(answer(307, b"{}", "Location: http://127.0.0.1:9/\r\n"))) as (client, heads):
        with pytest.raises(RemoteProblem):
            client.get("/status")
        assert len(heads) == 1
