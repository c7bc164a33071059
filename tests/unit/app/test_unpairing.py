"""A household puts its gateway out while a stream of it is on its way to the chain (permissions.md 2)."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from channels.transports.inprocess import Hub
from keys.messages import RegisterStream
from node.app.core import peer_of
from node.app.inbox import Inbox
from node.app.streams.home import HomeRole
from node.app.submissions import Submissions
from node.clock import ManualClock
from node.ledger.errors import RpcUnreachable
from node.projection import events as e
from node.projection.effects import SubmitMessage
from node.projection.submission import Submission, SubmissionStatus
from tests.support.pastworld import GENESIS, PAIRING, Delivered, Gateway, open_core_of
from tests.unit.node.projection.kit import block, h32


async def _registration(home: HomeRole) -> SubmitMessage:
    items = await home._core.storage.outbox.claim(GENESIS + 10**6, 50, 1)
    return next(i.effect for i in items if isinstance(i.effect, SubmitMessage) and i.effect.kind == "RegisterStream")


async def test_a_registration_that_still_waits_makes_nobody_a_writer(tmp_path: Path) -> None:
    """The chain is away. The stream is offered and signed for, the owner unpairs, the chain comes back."""
    clock, hub = ManualClock(GENESIS), Hub()
    hub.start()
    async with AsyncExitStack() as stack:
        own = await open_core_of(stack, tmp_path / "home", 1, "home", clock, hub)
        core = await open_core_of(stack, tmp_path / "gateway", 2, "gateway", clock, hub)
        own.storage.journal.want({SubmitMessage})
        gateway, inbox = Gateway(core), Inbox(own)
        home = HomeRole(own, Delivered(own), Submissions(own))
        inbox.on("stream.offer", home._take_offer)
        gateway.post.to[own.signer.address] = inbox
        device = core.signer.address
        for each, other in ((core, own), (own, core)):
            met = e.ReceivedPairing(PAIRING, own.signer.address, device, h32("s"), peer_of(other.card), "", GENESIS)
            paired = e.LoggedDevicePaired(block(1), own.signer.address, PAIRING, device)
            await each.storage.journal.apply([met, paired, e.LoggedFinalized(1, GENESIS)])
        await gateway.role.load()
        await gateway.role._offer(gateway.role.specs[0], peer_of(own.card))
        waiting = await _registration(home)
        assert waiting.kind == RegisterStream.__name__
        with pytest.raises(RpcUnreachable):  # it is tried while the pairing stands
            await home._submit(waiting)
        await home.unpair()
        await home._submit(waiting)
        found = await own.storage.views.one(Submission, waiting.digest)
        assert found.status is SubmissionStatus.REJECTED
