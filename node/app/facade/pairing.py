"""Pairing as the REST interface shows it, on whichever side this node is."""

from __future__ import annotations

from node.api.forms import PairForm, TransferForm
from node.api.views import ActionView, MoveView, PairingCodeView, PairingView, TransferView
from node.app.streams.giving import StreamGiver
from node.app.streams.home import HomeRole
from node.app.streams.moving import Mover
from node.app.streams.pairing import GatewayPairing, HomePairing
from node.app.streams.rotating import Rotator
from node.errors import Refused

__all__ = ["PairingPart"]


class PairingPart:
    """Implements the pairing part of the facade."""

    def __init__(
        self,
        home: HomeRole | None,
        as_home: HomePairing | None,
        as_gateway: GatewayPairing | None,
        mover: Mover | None,
        rotator: Rotator | None,
        giver: StreamGiver | None,
    ) -> None:
        self._giver = giver
        self._rotator = rotator
        self._mover = mover
        self._home = home
        self._as_home = as_home
        self._as_gateway = as_gateway

    async def pairing_status(self) -> PairingView:
        if self._as_home is not None:
            return await self._as_home.view()
        if self._as_gateway is not None:
            return await self._as_gateway.view()
        return PairingView(state="unpaired")

    async def pair(self, form: PairForm) -> PairingView:
        if self._as_home is None:
            raise Refused("Only a home pairs with a gateway.", remedy="Run this on the household's node.")
        return await self._as_home.pair(form)

    async def move_gateway(self, form: PairForm) -> PairingView:
        if self._mover is None:
            raise Refused("Only the owner's node moves streams.", remedy="Run this on the household's node.")
        return await self._mover.move(form)

    async def rotate_stream(self, sid: bytes) -> MoveView:
        if self._rotator is None:
            raise Refused("Only the owner's node gives a stream new keys.", remedy="Run this on the household's node.")
        return await self._rotator.rotate(sid)

    async def give_stream(self, sid: bytes, form: TransferForm) -> TransferView:
        return await self._gifts().give(sid, form)

    async def accept_stream(self, sid: bytes) -> TransferView:
        return await self._gifts().accept(sid)

    async def gifts(self) -> tuple[TransferView, ...]:
        return await self._giver.views() if self._giver is not None else ()

    def _gifts(self) -> StreamGiver:
        if self._giver is None:
            raise Refused("Only a household owns streams.", remedy="Run this on the household's node.")
        return self._giver

    async def moving(self) -> tuple[MoveView, ...]:
        return await self._mover.views() if self._mover is not None else ()

    async def unpair(self) -> ActionView:
        if self._home is None:
            raise Refused("Only the owner's node unpairs.", remedy="Run this on the household's node.")
        return ActionView(state="queued", digest=await self._home.unpair())

    async def new_pairing_code(self) -> PairingCodeView:
        return await self._gateway().new_code()

    async def pairing_message(self, step: str, body: bytes, peer: str) -> bytes:
        return await self._gateway().answer(step, body, peer)

    def _gateway(self) -> GatewayPairing:
        if self._as_gateway is None:
            raise Refused("This node is no gateway.", remedy="Run this at the device.")
        return self._as_gateway
