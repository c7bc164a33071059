"""Messages in every order, withheld and replayed: a voided grant never lives, on the contract and in the projection."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from keys import messages as m
from keys.signers import LocalSigner
from node.ledger.registry import registry_call
from node.projection.base import AggregateId
from node.projection.consent import Consent
from node.projection.events import LoggedFinalized
from node.projection.replay import World as Projection
from tests.support.registryworld import ZERO, World, world

pytestmark = pytest.mark.chain


@dataclass(frozen=True, slots=True)
class Told:
    """A message, signed, and what it voids: (account, grant id, sid or zero)."""

    data: bytes
    voids: tuple[bytes, bytes, bytes] | None = None


async def call_of(w: World, message: m.Message, *signers: LocalSigner) -> Told:
    data = registry_call(w.views.address, message, await w.sign(message, *signers)).data
    voids = (message.account, message.grant_id, message.sid) if isinstance(message, m.Revoke) else None
    return Told(data, voids)


async def orders(folder: Path, count: int, seed: int) -> None:
    """Play ``count`` streams with their grants and revocations, each time in another order."""
    chance = random.Random(seed)
    async with world(folder) as w:
        projection = Projection()
        for turn in range(count):
            stream = w.stream(f"stream {turn}")
            sid = w.sid(stream)
            await w.put(stream, w.owner, w.writer)
            grants = [w.grant(sid) for _ in range(3)]
            ids = [m.digest(grant, w.domain) for grant in grants]
            told = [await call_of(w, grant, w.owner) for grant in grants]
            told.append(await call_of(w, m.Revoke(w.owner.address, ids[0], sid), w.owner))
            told.append(await call_of(w, m.Revoke(w.reader.address, ids[1], ZERO), w.reader))
            chance.shuffle(told)
            # Some are withheld for good, some come twice or three times.
            played = [each for each in told for _ in range(chance.choice((0, 1, 1, 1, 2, 3)))]
            chance.shuffle(played)
            voided: set[bytes] = set()
            for each in played:
                await w.devnet.rpc.request(
                    "eth_sendTransaction",
                    [
                        {
                            "from": "0x" + (await accounts(w))[0],
                            "to": "0x" + w.views.address.hex(),
                            "data": "0x" + each.data.hex(),
                            "gas": hex(500_000),
                        }
                    ],
                )
                await w.devnet.mine()
                if each.voids is not None:
                    voided.add(each.voids[1])
                for event in await w.events():
                    projection.apply(event)
                head = await w.devnet.rpc.head()
                projection.apply(LoggedFinalized(head.number, head.timestamp))
                for grant_id in ids:
                    on_chain = await w.views.is_live(grant_id, sid, w.now + 10)
                    consent = projection.get(AggregateId("consent", grant_id))
                    assert isinstance(consent, Consent)
                    assert on_chain == (sid in consent.live_sids)
                    assert not (on_chain and grant_id in voided), "a voided grant lives"


async def accounts(w: World) -> list[str]:
    return [str(each)[2:] for each in await w.devnet.rpc.request("eth_accounts", [])]


async def test_a_voided_grant_never_lives_in_any_order(tmp_path: Path) -> None:
    await orders(tmp_path, 8, 1)


@pytest.mark.long
async def test_a_voided_grant_never_lives_in_very_many_orders(tmp_path: Path) -> None:
    await orders(tmp_path, 200, 2)
