"""Sources that are not registered yet: what gateway, home and community each remember of them, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from keys import messages as m
from node.app.core import Core
from node.errors import Conflict, NotFound
from node.ledger.energy import source_key
from node.projection.source import Source
from node.wire.settlement import SourceProposal

__all__ = ["ACCEPTED", "APPLIED", "APPROVED", "PROPOSED", "SENT", "AskedSource", "asked_sources", "one_asked", "past"]

SENT = "source_sent"
"""Namespace of facts: what this gateway proposed, by source."""

PROPOSED = "source_proposed"
"""Namespace of facts: proposals that wait for their owner's yes, by source."""

ACCEPTED = "source_accepted"
"""Namespace of facts: what this home said yes to, by source."""

APPLIED = "source_applied"
"""Namespace of facts: sources whose owners ask to be admitted, by number."""

APPROVED = "source_approved"
"""Namespace of facts: sources that this community admitted, by number."""

Who = Literal["owner", "community", "chain"]
_NEXT: Final[dict[str, Who]] = {
    SENT: "owner", PROPOSED: "owner", ACCEPTED: "community", APPLIED: "community", APPROVED: "chain",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AskedSource:
    """One of them. `waits_for`: whose yes comes next, as far as this node knows; the chain's where it was the last."""

    proposal: SourceProposal
    message: m.RegisterSource
    digest: bytes
    waits_for: Who


async def asked_sources(core: Core, namespace: str) -> dict[int, AskedSource]:
    """Those of a namespace, by number; without what is registered by now, what ran out, since the chain takes it no
    more, and what is for another token than this node follows now."""
    found: dict[int, AskedSource] = {}
    if core.chain.energy is None:
        return found
    own = m.energy_domain(core.settings.chain.chain_id, core.chain.energy.address)
    for value in (await core.storage.memory.facts.all(namespace)).values():
        proposal = SourceProposal.model_validate(value)
        message, domain = m.from_typed_data(proposal.typed)
        if domain != own or not isinstance(message, m.RegisterSource) or message.deadline < core.clock.now():
            continue
        found[message.source] = AskedSource(proposal, message, m.digest(message, domain), _NEXT[namespace])
    registered = await core.storage.views.many(Source, [source_key(number) for number in found])
    gone = {int.from_bytes(key, "big") for key, source in registered.items() if source.counts}
    return {number: each for number, each in found.items() if number not in gone}


async def one_asked(core: Core, namespace: str, source: int, digest: bytes | None) -> AskedSource:
    """The one of a number that somebody says yes to. Whoever signs by hand names the `digest` that was looked at: under
    the same number another one may have come since. Raises NotFound, Conflict."""
    found = (await asked_sources(core, namespace)).get(source)
    if found is None:
        raise NotFound(
            "No source of this number waits for a yes, or its time ran out.",
            remedy="`wattpact energy show` lists those that wait; the gateway can propose it again.",
        )
    if digest is not None and digest != found.digest:
        raise Conflict("Another proposal of this number came in the meantime.", remedy="Look at it before you sign.")
    return found


async def past(core: Core, namespace: str) -> list[tuple[str, str, Any]]:
    """What nobody has to remember any more, as facts to be forgotten."""
    waiting = await asked_sources(core, namespace)
    known = await core.storage.memory.facts.all(namespace)
    return [(namespace, name, None) for name in known if int(name) not in waiting]
