"""Pairing: the home drives the exchange over HTTP or over the broker (roads.py), the gateway answers step by step."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

from channels.stores.sealed import StoreSeal
from keys.identity import Identity
from keys.messages import PairDevice
from node.api.forms import PairForm
from node.api.views import PairingCodeView, PairingView
from node.app.core import Core
from node.app.streams.home import MOVES, HomeRole
from node.app.streams.nonces import next_nonce
from node.app.streams.roads import Road, road_to
from node.app.submissions import submission_of
from node.errors import Refused
from node.projection.base import Peer
from node.projection.device import Device, DeviceStatus
from node.projection.effects import NotifyDevicePaired, NotifyDeviceUnpaired
from node.projection.events import ReceivedPairing
from node.runtime.executor import Handlers
from node.services.pairing.code import QrCode, TypedCode, parse_code
from node.services.pairing.gateway_machine import GatewayMachine
from node.services.pairing.gateway_state import GatewayState
from node.services.pairing.home_machine import HomeMachine
from node.services.pairing.models import Pairing, PeerIdentity, Place
from node.services.pairing.rendezvous import Rendezvous
from node.services.pairing.saved import gateway_from_dict, gateway_to_dict
from node.services.pairing.table import GatewayStatus

__all__ = ["GatewayPairing", "HomePairing"]

CODE_SECONDS = 15 * 60
CLAIM_SECONDS = 10 * 60
POINT = "rendezvous"


def _place(core: Core) -> Place:
    return Place(core.settings.chain.chain_id, core.registry)


def _identity(core: Core, account: bytes) -> PeerIdentity:
    name = core.settings.node.name[:80]
    return PeerIdentity(account, core.keys.sealing.public_bytes, core.public_url, name)


def _paired(pairing: Pairing, other: PeerIdentity, now: int) -> ReceivedPairing:
    message = pairing.message
    peer = Peer(other.account, other.inbox_url, other.sealing_key)
    return ReceivedPairing(
        message.device_hash, message.owner, pairing.device.account, pairing.salt, peer, other.label, now
    )


class GatewayPairing:
    """The gateway's side. Its state holds secrets and is kept sealed; a restart in the middle loses nothing.

    One step at a time changes it: of two messages side by side the later would take back what the earlier counted, and
    a code has five tries only as long as each one counts (permissions.md 2).
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        identity: Identity = core.keys.identity
        self._device = identity.device()
        self._seal = StoreSeal(identity.secret("pairing-state"))
        self._machine = GatewayMachine(_place(core), _identity(core, self._device.address))
        self._step = asyncio.Lock()
        self.changed = asyncio.Event()

    def register(self, handlers: Handlers) -> None:
        """Follows what the chain says of this device."""
        handlers.on(NotifyDevicePaired, self._on_paired)
        handlers.on(NotifyDeviceUnpaired, self._on_unpaired)

    async def _load(self) -> GatewayState:
        kept = await self._kept("gateway")
        return GatewayState() if kept is None else gateway_from_dict(kept)

    async def _save(self, state: GatewayState) -> None:
        await self._keep("gateway", gateway_to_dict(state))

    async def _kept(self, name: str) -> dict[str, Any] | None:
        text = await self._core.storage.memory.facts.get("pairing", name)
        if text is None:
            return None
        raw = self._seal.open("pairing", b"", name.encode(), base64.b64decode(text))
        found: dict[str, Any] = json.loads(raw)
        return found

    async def _keep(self, name: str, document: Mapping[str, Any]) -> None:
        raw = json.dumps(document).encode()
        text = base64.b64encode(self._seal.seal("pairing", b"", name.encode(), raw)).decode()
        await self._core.storage.memory.facts.set("pairing", name, text)

    async def rendezvous(self) -> Rendezvous | None:
        """Where this gateway answers homes over the broker; None where it has an address, or no code that leads there.

        Until the claim is final on chain, so that a home whose last answer was lost gets it again.
        """
        if not self._core.settings.node.outbound_only:
            return None
        state = self._machine.tick(await self._load(), self._core.clock.now())
        if state.status not in (GatewayStatus.OPEN, GatewayStatus.MEETING, GatewayStatus.CLAIMED):
            return None
        kept = await self._kept(POINT)
        return None if kept is None else Rendezvous.from_dict(kept)

    async def new_code(self) -> PairingCodeView:
        """Burns the former code. Raises AlreadyPaired with an owner."""
        now = self._core.clock.now()
        async with self._step:
            state = self._machine.new_code(await self._load(), now, CODE_SECONDS)
            await self._keep(POINT, Rendezvous.of(state.secret).to_dict())
            await self._save(state)
        self.changed.set()
        url = self._core.public_url
        shown = self._machine.shown_code(state, now, url)
        return PairingCodeView(code=shown.typed, url=url, qr=shown.qr, expires_at=shown.expires_at)

    async def answer(self, step: str, body: bytes, peer: str) -> bytes:
        """One step of the exchange; the state is stored before anything leaves."""
        now = self._core.clock.now()
        async with self._step:
            outcome = self._machine.answer(await self._load(), step, body, peer, now)
            if outcome.to_sign is not None:
                await self._save(outcome.state)
                signature = await self._device.sign_message(outcome.to_sign, self._core.chain.domain)
                outcome = self._machine.signed(outcome.state, signature)
            await self._save(outcome.state)
        claim = outcome.state.claim
        if outcome.refusal is None and claim is not None:
            event = _paired(claim.pairing, claim.pairing.owner, now)
            await self._core.storage.memory.keep([event])
            self._core.wake()
        return outcome.raised().answer

    async def view(self) -> PairingView:
        """How this gateway stands to its owner."""
        now = self._core.clock.now()
        state = self._machine.tick(await self._load(), now)
        rows = await self._core.storage.views.page(
            Device, status=DeviceStatus.PAIRED.value, link=("device", self._device.address), limit=1
        )
        if rows:
            device = rows[0][1]
            return PairingView(state="paired", peer=device.owner, device_hash=device.device_hash, since=_since(device))
        if state.status is GatewayStatus.OPEN:
            left = self._machine.tries_left(state)
            return PairingView(state="waiting", tries_left=left, code_expires_at=state.expires_at)
        # Paired here and not by the chain: the end of it is on its way to this state, and a code is refused until then.
        busy = state.status in (GatewayStatus.MEETING, GatewayStatus.CLAIMED, GatewayStatus.PAIRED)
        return PairingView(state="pairing" if busy else "unpaired")

    async def _on_paired(self, effect: NotifyDevicePaired) -> None:
        if effect.device == self._device.address:
            async with self._step:
                await self._save(self._machine.chain_paired(await self._load(), effect.device_hash))

    async def _on_unpaired(self, effect: NotifyDeviceUnpaired) -> None:
        async with self._step:
            await self._save(self._machine.chain_unpaired(await self._load(), effect.device_hash))


class HomePairing:
    """The home's side: one attempt runs through in one call, because a person waits for it."""

    def __init__(self, core: Core, home: HomeRole) -> None:
        self._core = core
        self._home = home

    async def pair(self, form: PairForm, move_from: Device | None = None) -> PairingView:
        """With `move_from` a second gateway, which takes over what that one writes.

        Raises BadCode, WrongCode, AlreadyPaired, NodeUnreachable, ... and leaves nothing half-done."""
        device = await self._home.gateway()
        if device is not None and device.status is not DeviceStatus.KNOWN and move_from is None:
            raise Refused("This household has a gateway already.", remedy="Run `wattpact unpair` first.")
        code = parse_code(form.code)
        async with road_to(self._core, code, form.url) as road:
            pairing = await self._exchange(code, road)
        return await self._finish(pairing, pairing.message, move_from)

    async def _exchange(self, code: TypedCode | QrCode, road: Road) -> Pairing:
        machine = HomeMachine(_place(self._core), _identity(self._core, self._home.owner.address))
        outcome = machine.begin(code)
        outcome = machine.received_hello(outcome.state, await road.post(outcome.step, outcome.message)).raised()
        answer = await road.post(outcome.step, outcome.message)
        outcome = machine.received_confirm(outcome.state, answer).raised()
        nonce = await next_nonce(self._core.storage.memory)
        message = machine.propose(outcome.state, nonce, self._core.clock.now() + CLAIM_SECONDS)
        signature = await self._home.owner.sign_message(message, self._core.chain.domain)
        outcome = machine.signed(outcome.state, message, signature)
        answer = await road.post(outcome.step, outcome.message)
        outcome = machine.received_finish(outcome.state, answer).raised()
        if outcome.state.pairing is None:
            raise Refused("The exchange ended without a pairing.")
        return outcome.state.pairing

    async def _finish(self, pairing: Pairing, message: PairDevice, move_from: Device | None) -> PairingView:
        now = self._core.clock.now()
        signatures = [pairing.owner_signature, pairing.device_signature]
        opening = [pairing.device.account, pairing.salt]
        events = [
            _paired(pairing, pairing.device, now),
            submission_of(self._core, message, signatures, opening),
        ]
        moving = [(MOVES, message.device_hash.hex(), move_from.device_hash.hex())] if move_from is not None else []
        await self._core.storage.memory.keep(events, moving)
        self._core.wake()
        return PairingView(state="pairing", peer=pairing.device.account, device_hash=message.device_hash, since=now)

    async def view(self) -> PairingView:
        """How this household stands to its gateway."""
        device = await self._home.gateway()
        if device is None:
            return PairingView(state="unpaired")
        streams = tuple(await self._home.streams())
        paired = device.status is DeviceStatus.PAIRED
        return PairingView(
            state="paired" if paired else "pairing",
            peer=device.device,
            device_hash=device.device_hash,
            since=_since(device),
            streams=streams,
        )


def _since(device: Device) -> int | None:
    return device.local.at if device.local is not None else None
