"""The gateway's side of a pairing inside the node: steps that come at the same moment."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from types import SimpleNamespace
from typing import cast

import pytest

from keys.sealing import SealingKey
from node.api.operations import BinaryBody
from node.app.core import Core
from node.app.streams.pairing import GatewayPairing
from node.errors import NodeError
from node.projection.effects import NotifyDevicePaired, NotifyDeviceUnpaired
from node.services.pairing.code import ALPHABET, parse_code
from node.services.pairing.errors import AlreadyPaired
from node.services.pairing.gateway_machine import MAX_TRIES
from tests.unit.node.api.memory_node import MemoryNode
from tests.unit.node.api.serving import Served, served, settings
from tests.unit.services.pairing.builders import HOME_ADDRESS, IDENTITY, NOW, PLACE, URL, home


class SlowFacts:
    """The one row, and a store that takes a moment, so that steps meet."""

    def __init__(self) -> None:
        self.row: str | None = None

    async def get(self, kind: str, key: str) -> str | None:
        await asyncio.sleep(0.001)
        return self.row

    async def set(self, kind: str, key: str, value: str) -> None:
        await asyncio.sleep(0.001)
        self.row = value


async def no_page(*_: object, **__: object) -> list[object]:
    """No device that the chain calls paired."""
    return []


def gateway() -> GatewayPairing:
    core = SimpleNamespace(
        keys=SimpleNamespace(identity=IDENTITY, sealing=SealingKey.generate()),
        settings=SimpleNamespace(node=SimpleNamespace(name="Gateway"), chain=SimpleNamespace(chain_id=PLACE.chain_id)),
        registry=PLACE.registry,
        public_url=URL,
        storage=SimpleNamespace(memory=SimpleNamespace(facts=SlowFacts()), views=SimpleNamespace(page=no_page)),
        clock=SimpleNamespace(now=lambda: NOW),
    )
    return GatewayPairing(cast("Core", core))


def wrong(code: str, number: int) -> str:
    """The `number`th well-formed code beside the right one: its check symbol is right."""
    found = []
    for first in ALPHABET:
        for last in ALPHABET:
            text = first + code[1:-1] + last
            try:
                parse_code(text)
            except NodeError:
                continue
            if first != code[0]:
                found.append(text)
    return found[number % len(found)]


async def test_attempts_side_by_side_are_all_counted() -> None:
    """Attack (permissions.md 2): each wrong proof comes together with the next attempt's greeting, which would store
    the state of before and so take the count back."""
    node = gateway()
    code = (await node.new_code()).code
    machine = home()
    begun = machine.begin(parse_code(wrong(code, 0)))
    answer = await node.answer(begun.step, begun.message, HOME_ADDRESS)
    judged = 0
    for number in range(1, 4 * MAX_TRIES):
        proof = machine.received_hello(begun.state, answer)
        following = machine.begin(parse_code(wrong(code, number)))
        verdict, greeting = await asyncio.gather(
            node.answer(proof.step, proof.message, HOME_ADDRESS),
            node.answer(following.step, following.message, HOME_ADDRESS),
            return_exceptions=True,
        )
        judged += 1
        assert isinstance(verdict, NodeError)
        if isinstance(greeting, NodeError):
            break
        assert isinstance(greeting, bytes)
        begun, answer = following, greeting
    assert judged <= MAX_TRIES
    right = machine.begin(parse_code(code))
    with pytest.raises(NodeError):
        await node.answer(right.step, right.message, HOME_ADDRESS)


async def test_a_new_code_beside_a_greeting_is_the_code() -> None:
    node = gateway()
    code = (await node.new_code()).code
    begun = home().begin(parse_code(code))
    _, fresh = await asyncio.gather(
        node.answer(begun.step, begun.message, HOME_ADDRESS), node.new_code(), return_exceptions=True
    )
    assert not isinstance(fresh, BaseException)
    met = home().begin(parse_code(fresh.code))
    answer = await node.answer(met.step, met.message, HOME_ADDRESS)
    proof = home().received_hello(met.state, answer).raised()
    assert await node.answer(proof.step, proof.message, HOME_ADDRESS)


async def test_a_gateway_is_unpaired_once_it_would_make_a_code() -> None:
    """The chain says it a moment before the gateway has told itself: until then a new code is refused."""
    node, hashed, owner = gateway(), b"\x01" * 32, b"\x02" * 20
    assert (await node.view()).state == "unpaired"
    await node._on_paired(NotifyDevicePaired(hashed, owner, IDENTITY.device().address))
    assert (await node.view()).state == "pairing"
    with pytest.raises(AlreadyPaired):
        await node.new_code()
    await node._on_unpaired(NotifyDeviceUnpaired(hashed, owner))
    assert (await node.view()).state == "unpaired"
    assert (await node.new_code()).code
    assert (await node.view()).state == "waiting"


class Gateway(MemoryNode):
    """A node whose pairing is the real one."""

    def __init__(self, pairing: GatewayPairing) -> None:
        super().__init__()
        self.pairing = pairing

    async def pairing_message(self, step: str, body: bytes, peer: str) -> bytes:
        return await self.pairing.answer(step, body, peer)


async def attempt(api: Served, code: str, caller: str) -> tuple[int, str]:
    """One attempt of a home at `caller` up to its proof: status and error code of what ended it, or (200, "")."""
    headers = {"Content-Type": BinaryBody, "X-Forwarded-For": caller}
    machine = home()
    outcome = machine.begin(parse_code(code))
    for _ in range(2):
        path = f"/pairing/v1/{outcome.step}"
        status, answer, _ = await api.call("POST", path, token=None, data=outcome.message, headers=headers)
        if status != 200:
            return status, answer["code"]
        outcome = machine.received_hello(outcome.state, answer) if outcome.step == "hello" else outcome
    return 200, ""


async def test_a_hundred_attempts_from_elsewhere_leave_the_five_tries_and_five_at_home_close_the_code() -> None:
    """Attack (permissions.md 2: tries count per peer and only on the local interface): a stranger who could use up
    tries would lock the household out."""
    node = gateway()
    code = (await node.new_code()).code
    chosen = settings(trusted_proxies=["127.0.0.1"], open_calls_per_minute=1_000)
    async with served(chosen, lambda: (ip_network("192.168.7.0/24"),), Gateway(node)) as api:
        for number in range(100):
            assert await attempt(api, wrong(code, number), f"203.0.113.{number}") == (403, "not_local")
        state = await node._load()
        assert node._machine.tries_left(state) == MAX_TRIES
        assert not state.sessions
        for number in range(MAX_TRIES - 1):
            assert await attempt(api, wrong(code, number), "192.168.7.66") == (403, "wrong_code")
        assert await attempt(api, wrong(code, MAX_TRIES), "192.168.7.66") == (403, "code_locked")
        assert await attempt(api, code, "192.168.7.20") == (403, "code_locked")
        fresh = (await node.new_code()).code  # `wattpact pair new`, or the button
        assert await attempt(api, fresh, "203.0.113.9") == (403, "not_local")
        assert await attempt(api, fresh, "192.168.7.20") == (200, "")
