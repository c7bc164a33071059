"""What a household that puts a gateway out must not bring onto the chain any more: streams that this one would write.

A registration may wait in the outbox, for a chain that is away or a sender without ether, when its owner unpairs. The
UnpairDevice cannot name a stream that is not there yet, so the registration would make the gateway a writer again.
"""

from __future__ import annotations

from keys.messages import RegisterStream
from node.app.core import Core
from node.app.streams.streamspec import stream_id
from node.app.submissions import said_by
from node.projection.device import Device, DeviceStatus
from node.projection.effects import SubmitMessage

__all__ = ["OFFERED_BY", "PUT_OUT", "is_given_up"]

OFFERED_BY = "stream_offered_by"
"""Namespace of facts: the pairing under which a stream was offered, by stream id."""

PUT_OUT = "pairing_put_out"
"""Namespace of facts: pairings that the owner has ended here, before the chain says so."""


async def is_given_up(core: Core, effect: SubmitMessage) -> bool:
    """Whether a message registers a stream of a gateway that its owner has put out since."""
    if effect.kind != "RegisterStream":
        return False
    message = (await said_by(core, effect.digest))[1].message
    if not isinstance(message, RegisterStream):
        return False
    facts = core.storage.memory.facts
    pairing = await facts.get(OFFERED_BY, stream_id(core.chain.domain, message.owner, message.name_hash).hex())
    if pairing is None:
        return False
    if await facts.get(PUT_OUT, pairing) is not None:
        return True
    return (await core.storage.views.one(Device, bytes.fromhex(pairing))).status is DeviceStatus.UNPAIRED
