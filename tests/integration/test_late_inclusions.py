"""A node that was off hears of the chain's last final block before it has looked for its own messages in the blocks."""

from __future__ import annotations

from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from keys import messages as m
from keys.signers import LocalSigner
from node.app.submissions import submission_of
from node.projection.effects import NotifySubmissionFailed
from node.projection.submission import Submission, SubmissionStatus
from node.storage.journal import Applied
from tests.support.tradeworld import DAY, World, trading

pytestmark = pytest.mark.chain

OWNER, WRITER = LocalSigner(b"\x51" * 32), LocalSigner(b"\x52" * 32)


async def _registration(world: World, name: str) -> tuple[bytes, list[str]]:
    """A stream's registration is wished for; its digest, and where failures of it will be told."""
    core, now = world.market.core, world.clock.now()
    message = m.RegisterStream(
        OWNER.address, keccak(text=name), WRITER.address, bytes(31) + b"\x01", now - 600, 600, 0, now + 300
    )
    domain = core.chain.domain
    signatures = [await signer.sign_message(message, domain) for signer in (OWNER, WRITER)]
    failures: list[str] = []

    def heard(applied: Applied) -> None:
        failures.extend(each.reason for each in applied.effects if isinstance(each, NotifySubmissionFailed))

    core.storage.journal.subscribe(heard)
    wish = submission_of(core, message, signatures)
    await core.storage.journal.apply([wish])
    return wish.digest, failures


async def _sent(world: World, digest: bytes) -> None:
    """In the pool of the chain, by a node that then goes off."""
    for _ in range(5):
        await world.market.work()
        if (await _status(world, digest)) is SubmissionStatus.SENT:
            return
        world.clock.advance(1)
    raise AssertionError(await _status(world, digest))


async def _status(world: World, digest: bytes) -> SubmissionStatus:
    return (await world.market.core.storage.views.one(Submission, digest)).status


async def test_a_message_that_was_included_while_the_node_was_off_is_never_called_failed(tmp_path: Path) -> None:
    """Its deadline is over by the time of the final block, and the block that has it is known to the sender alone."""
    async with trading(tmp_path) as world:
        digest, failures = await _registration(world, "in time")
        await _sent(world, digest)
        await world.mine()
        await world.pass_time(DAY)
        await world.market.read_chain()
        assert failures == []
        assert await _status(world, digest) is SubmissionStatus.FINAL


async def test_a_message_that_no_block_took_in_time_is_called_failed_once(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        digest, failures = await _registration(world, "too late")
        await world.pass_time(DAY)
        await world.market.read_chain()
        await world.rounds(2)
        assert await _status(world, digest) is SubmissionStatus.FAILED
        assert len(failures) == 1
