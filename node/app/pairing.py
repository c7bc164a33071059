"""Pairing over HTTP: the home drives the exchange against the gateway's address, the gateway answers step by step."""

from __future__ import annotations

import base64
import json
from typing import Any

import aiohttp

from channels.stores.sealed import StoreSeal
from keys.identity import Identity
from keys.messages import PairDevice
from node.api.forms import PairForm
from node.api.views import PairingCodeView, PairingView
from node.app.core import Core
from node.app.home import MOVES, HomeRole
from node.app.nonces import next_nonce
from node.app.submissions import submission_of
from node.errors import Busy, NodeUnreachable, Refused, UsageError
from node.projection.base import Peer
from node.projection.device import Device, DeviceStatus
from node.projection.effects import NotifyDevicePaired, NotifyDeviceUnpaired
from node.projection.events import ReceivedPairing
from node.runtime.executor import Handlers
from node.services.pairing.code import QrCode, parse_code
from node.services.pairing.gateway_machine import GatewayMachine
from node.services.pairing.gateway_state import GatewayState
from node.services.pairing.home_machine import HomeMachine
from node.services.pairing.models import Pairing, PeerIdentity, Place
from node.services.pairing.saved import gateway_from_dict, gateway_to_dict
from node.services.pairing.table import GatewayStatus

__all__ = ["GatewayPairing", "HomePairing"]

CODE_SECONDS = 15 * 60
CLAIM_SECONDS = 10 * 60


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
    """The gateway's side. Its state holds secrets and is kept sealed; a restart in the middle loses nothing."""

    def __init__(self, core: Core) -> None:
        self._core = core
        identity: Identity = core.keys.identity
        self._device = identity.device()
        self._seal = StoreSeal(identity.secret("pairing-state"))
        self._machine = GatewayMachine(_place(core), _identity(core, self._device.address))

    def register(self, handlers: Handlers) -> None:
        """Follows what the chain says of this device."""
        handlers.on(NotifyDevicePaired, self._on_paired)
        handlers.on(NotifyDeviceUnpaired, self._on_unpaired)

    async def _load(self) -> GatewayState:
        text = await self._core.storage.memory.facts.get("pairing", "gateway")
        if text is None:
            return GatewayState()
        raw = self._seal.open("pairing", b"", b"gateway", base64.b64decode(text))
        return gateway_from_dict(json.loads(raw))

    async def _save(self, state: GatewayState) -> None:
        raw = json.dumps(gateway_to_dict(state)).encode()
        text = base64.b64encode(self._seal.seal("pairing", b"", b"gateway", raw)).decode()
        await self._core.storage.memory.facts.set("pairing", "gateway", text)

    async def new_code(self) -> PairingCodeView:
        """Burns the former code. Raises AlreadyPaired with an owner."""
        now = self._core.clock.now()
        state = self._machine.new_code(await self._load(), now, CODE_SECONDS)
        await self._save(state)
        url = self._core.public_url
        shown = self._machine.shown_code(state, now, url)
        return PairingCodeView(code=shown.typed, url=url, qr=shown.qr, expires_at=shown.expires_at)

    async def answer(self, step: str, body: bytes, peer: str) -> bytes:
        """One step of the exchange; the state is stored before anything leaves."""
        now = self._core.clock.now()
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
        busy = state.status in (GatewayStatus.MEETING, GatewayStatus.CLAIMED)
        return PairingView(state="pairing" if busy else "unpaired")

    async def _on_paired(self, effect: NotifyDevicePaired) -> None:
        if effect.device == self._device.address:
            await self._save(self._machine.chain_paired(await self._load(), effect.device_hash))

    async def _on_unpaired(self, effect: NotifyDeviceUnpaired) -> None:
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
        url = form.url or (code.url if isinstance(code, QrCode) else "")
        if not url:
            raise UsageError("A typed code needs the gateway's address.", remedy="Add --url http://...", field="url")
        machine = HomeMachine(_place(self._core), _identity(self._core, self._home.owner.address))
        outcome = machine.begin(code)
        outcome = machine.received_hello(outcome.state, await self._post(url, outcome.step, outcome.message)).raised()
        answer = await self._post(url, outcome.step, outcome.message)
        outcome = machine.received_confirm(outcome.state, answer).raised()
        nonce = await next_nonce(self._core.storage.memory)
        message = machine.propose(outcome.state, nonce, self._core.clock.now() + CLAIM_SECONDS)
        signature = await self._home.owner.sign_message(message, self._core.chain.domain)
        outcome = machine.signed(outcome.state, message, signature)
        answer = await self._post(url, outcome.step, outcome.message)
        outcome = machine.received_finish(outcome.state, answer).raised()
        if outcome.state.pairing is None:
            raise Refused("The exchange ended without a pairing.")
        return await self._finish(outcome.state.pairing, message, move_from)

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

    async def _post(self, url: str, step: str, message: bytes) -> bytes:
        address = f"{url.rstrip('/')}/pairing/v1/{step}"
        headers = {"Content-Type": "application/octet-stream"}
        try:
            async with self._core.http.post(address, data=message, headers=headers, allow_redirects=False) as answer:
                body, status = await answer.content.read(65_536), answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NodeUnreachable(f"The gateway at {url} cannot be reached.", remedy="Check the address.") from error
        if status == 429 or status >= 500:
            raise Busy(f"The gateway at {url} is busy.", remedy="Try again in a minute.")
        if status >= 400:
            raise _problem(body)
        return body

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


def _problem(body: bytes) -> Refused:
    """What the gateway said, in its words."""
    try:
        problem: dict[str, Any] = json.loads(body)
    except ValueError:
        problem = {}
    text = str(problem.get("detail") or problem.get("title") or "The gateway refused.")[:300]
    remedy = str(problem.get("remedy") or "Ask the gateway for a new code: `wattpact pair new`.")[:300]
    return Refused(text, remedy=remedy, field=problem.get("field"))
