"""M-85. Several signed words in one parcel to a market: taken as a whole or not at all, each for what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from keys import messages as m
from keys.parcel import pack
from keys.signers import LocalSigner
from node.errors import InvalidInput, Refused
from node.projection.submission import Submission
from node.wire.settlement import MOST_WORDS
from tests.support.tradeworld import HOUR, World, trading

pytestmark = pytest.mark.chain

NOBODY = LocalSigner(b"\x66" * 32)


async def signed(world: World, contract: bytes, signer: Any, *, forged: bool = False) -> tuple[bytes, dict[str, Any]]:
    """A report of this account, and its body; `forged`: signed by another one."""
    domain = world.market.asset.voice.domain()
    message = m.Provision(signer.address, world.operator, contract, 1_000, world.clock.now() + 30 * HOUR)
    by = NOBODY if forged else signer
    signature = "0x" + (await by.sign_message(message, domain)).hex()
    return m.digest(message, domain), {
        "typed": m.typed_data(message, domain),
        "signatures": [signature],
        "opening": ["0x00"],
    }


async def send(world: World, words: Sequence[dict[str, Any]]) -> None:
    core = world.market.core
    raw = await pack(
        NOBODY, core.keys.sealing.public_bytes, "market.words", {"words": list(words)},
        chain_id=core.settings.chain.chain_id, now=core.clock.now(), lifetime=600,
    )  # fmt: skip
    await world.market.inbox.take(raw, "")


async def test_m85_a_parcel_of_words_is_taken_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    """Attacks: a forged word among good ones, more of them than a parcel may hold, none at all."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract(wh=1_000, price=1_000)
        seller, buyer = (world.nodes[name].asset.account(world.operator) for name in ("seller", "buyer"))
        one, first = await signed(world, contract, seller)
        other, second = await signed(world, contract, buyer)
        _, forged = await signed(world, contract, seller, forged=True)
        views = world.market.core.storage.views
        with pytest.raises(Refused, match="not signed by the account"):
            await send(world, [first, second, forged])
        for words in ([], [first] * (MOST_WORDS + 1)):
            with pytest.raises(InvalidInput, match="words"):
                await send(world, words)
        assert await views.many(Submission, [one, other]) == {}
        await send(world, [first, second])
        assert set(await views.many(Submission, [one, other])) == {one, other}
        await send(world, [first, second, first])
        assert set(await views.many(Submission, [one, other])) == {one, other}
