"""The community role: its registrar admits sources, and signed readings of admitted ones mint (P-16 to P-20)."""

from __future__ import annotations

from typing import Any

from keys.errors import KeysError
from keys.messages import Message, Reading, RegisterSource, energy_domain, from_typed_data, recover, verify
from keys.parcel import Parcel
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.submissions import submission_of
from node.app.trading.askedsources import APPLIED, APPROVED, one_asked, past
from node.app.trading.sources import energy_token
from node.errors import InvalidInput, Refused
from node.ledger.energy import source_key
from node.projection.source import Source
from node.services.community.errors import ReadingRefused
from node.services.community.rules import Counted, Limits, check_reading, sent_again
from node.wire.settlement import SignedMessage, SourceProposal

__all__ = ["CommunityRole"]


class CommunityRole:
    """The registrar is this node's wallet. It decides who is admitted; what is minted, the devices decide."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def register(self, inbox: Inbox) -> None:
        inbox.on("source.application", self._take_application)
        inbox.on("energy.reading", self._take_reading)

    def _message(self, typed: object) -> Message:
        core = self._core
        try:
            message, domain = from_typed_data(typed)
        except KeysError as error:
            raise InvalidInput(str(error), field="typed") from error
        if domain != energy_domain(core.settings.chain.chain_id, energy_token(core)):
            raise Refused("The message is for another token or chain.", field="typed")
        return message

    async def _take_application(self, parcel: Parcel) -> Kept:
        body = SourceProposal.model_validate(parcel.body)
        message = self._message(body.typed)
        if not isinstance(message, RegisterSource) or body.owner_signature is None:
            raise InvalidInput("An application is a RegisterSource that its owner signed.", field="owner_signature")
        domain = energy_domain(self._core.settings.chain.chain_id, energy_token(self._core))
        try:
            verify(message, domain, body.owner_signature, message.owner)
            verify(message, domain, body.device_signature, message.device)
        except KeysError as error:
            raise Refused("Owner and device must both have signed.", field="owner_signature") from error
        return Kept((), ((APPLIED, str(message.source), body.to_json()),))

    async def approve(self, source: int, digest: bytes | None = None) -> bytes:
        """Signs as the registrar; the registration goes to the chain. Returns its digest. Raises NotFound; Conflict
        where the application is not the one of `digest`."""
        core, found = self._core, await one_asked(self._core, APPLIED, source, digest)
        body, message = found.proposal, found.message
        domain = energy_domain(core.settings.chain.chain_id, energy_token(core))
        signature = await core.keys.identity.wallet().sign_message(message, domain)
        assert body.owner_signature is not None  # noqa: S101 (checked when it was taken)
        signatures = [body.owner_signature, body.device_signature, signature]
        wish = submission_of(core, message, signatures, domain=domain)
        over = [*await past(core, APPLIED), *await past(core, APPROVED)]
        now: list[tuple[str, str, Any]] = [(APPLIED, str(source), None), (APPROVED, str(source), body.to_json())]
        await core.storage.memory.keep([wish], [*over, *now])
        core.wake()
        return wish.digest

    async def _take_reading(self, parcel: Parcel) -> Kept:
        """Whoever brings it: the device's signature is what counts. It goes to the chain, which mints."""
        core = self._core
        body = SignedMessage.model_validate(parcel.body)
        message = self._message(body.typed)
        if not isinstance(message, Reading):
            raise InvalidInput("Expected a Reading.", field="typed")
        source = await core.storage.views.one(Source, source_key(message.source))
        last = source.last
        if last is None:
            raise ReadingRefused("No source of this number is registered.", field="source")
        domain = energy_domain(core.settings.chain.chain_id, energy_token(core))
        try:
            signer = recover(message, domain, body.signatures[0])
        except KeysError as error:
            raise ReadingRefused(f"The signature cannot be read: {error}.", field="signature") from error
        reading = Counted(message.index, message.counter_wh, message.meter_time)
        before = Counted(last.index, last.counter_wh, last.meter_time)
        limits = Limits(source.device, source.max_power_w)
        if sent_again(reading, signer, before, limits):
            return Kept(())
        check_reading(reading, signer, before, limits)
        return Kept((submission_of(core, message, body.signatures, domain=domain),))
