"""A market's answer comes in as many pieces as the network likes: it is read whole or refused."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientSession, web

from node.client import link


async def _serve(size: int, pieces: int) -> tuple[web.AppRunner, str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(pieces):
            await response.write(b"x" * (size // pieces))
            await asyncio.sleep(0.01)
        return response

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/"


@pytest.mark.parametrize(("size", "whole"), [(300_000, True), (link._MAX_ANSWER + 30_000, False)])
async def test_an_answer_in_pieces_is_read_whole_or_refused(size: int, whole: bool) -> None:
    runner, url = await _serve(size, 10)
    try:
        async with ClientSession() as http, http.get(url) as answer:
            if whole:
                assert len(await link._whole(answer)) == size
            else:
                with pytest.raises(ValueError, match="too long"):
                    await link._whole(answer)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("shown", "net"),
    [
        ({}, b""),
        ({"settle": "gross", "net_settlement": "0x" + "0b" * 20}, b""),
        ({"settle": "net", "net_settlement": "0x" + "0b" * 20}, b"\x0b" * 20),
        ({"settle": "net"}, None),
    ],
)
async def test_where_a_market_nets_is_read_from_its_terms(shown: dict[str, str], net: bytes | None) -> None:
    """One that says that it nets, and not where, shows no terms."""
    terms = {"operator": "0x" + "0a" * 20, "terms": "0x" + "0c" * 32, "market": "0x" + "0d" * 20, **shown}
    if net is None:
        with pytest.raises((KeyError, TypeError, ValueError)):
            link.read_terms(terms)
    else:
        assert link.read_terms(terms) == (b"\x0d" * 20, b"\x0a" * 20, b"\x0c" * 32, net)
