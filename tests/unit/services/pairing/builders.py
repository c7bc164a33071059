"""A home and a gateway that can be paired, and the middle of the network between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keys.identity import Identity
from keys.messages import PairDevice
from keys.sealing import SealingKey
from keys.signers import LocalSigner
from node.services.pairing.code import parse_code
from node.services.pairing.gateway_machine import GatewayMachine, GatewayOutcome
from node.services.pairing.gateway_state import GatewayState
from node.services.pairing.home_machine import HomeMachine, HomeOutcome
from node.services.pairing.models import PeerIdentity, Place
from node.services.pairing.saved import gateway_from_dict, gateway_to_dict

PHRASE = "test test test test test test test test test test test junk"
IDENTITY = Identity.from_mnemonic(PHRASE)
OWNER: LocalSigner = IDENTITY.wallet()
DEVICE: LocalSigner = IDENTITY.device()
PLACE = Place(31337, b"\x0c" * 20)
HOME_ID = PeerIdentity(
    OWNER.address, IDENTITY.sealing_key("inbox").public_bytes, "http://home.local:8411/api/v1/inbox", "Home"
)
GATEWAY_ID = PeerIdentity(
    DEVICE.address, IDENTITY.sealing_key("gateway").public_bytes, "http://192.168.1.7:8411/api/v1/inbox", "Gateway"
)
URL = "http://192.168.1.7:8411"
HOME_ADDRESS = "192.168.1.5"
NOW, LIFETIME = 1_800_000_000, 900
DEADLINE = NOW + 600
NONCE = 2**200 + 3


@dataclass
class Gateway:
    """A gateway that stores its state after every call, as a program must, and restarts from it before every one."""

    machine: GatewayMachine
    state: GatewayState
    now: int = NOW

    @classmethod
    def fresh(cls, place: Place = PLACE, identity: PeerIdentity = GATEWAY_ID) -> Gateway:
        gateway = cls(GatewayMachine(place, identity), GatewayState())
        gateway.state = gateway.machine.new_code(gateway.state, NOW, LIFETIME)
        return gateway

    def restarted(self) -> GatewayState:
        return gateway_from_dict(gateway_to_dict(self.state))

    def answer(self, step: str, data: bytes, peer: str = HOME_ADDRESS) -> GatewayOutcome:
        outcome = self.machine.answer(self.restarted(), step, data, peer, self.now)
        self.state = outcome.state
        return outcome

    def post(self, step: str, data: bytes, peer: str = HOME_ADDRESS) -> bytes:
        return self.answer(step, data, peer).raised().answer

    async def sign(self, message: PairDevice | None) -> bytes:
        assert message is not None
        outcome = self.machine.signed(self.restarted(), await DEVICE.sign_message(message, PLACE.domain()))
        self.state = outcome.state
        return outcome.answer

    def typed(self) -> str:
        return self.machine.shown_code(self.state, self.now, URL).typed

    def qr(self) -> str:
        return self.machine.shown_code(self.state, self.now, URL).qr


def home(place: Place = PLACE, identity: PeerIdentity = HOME_ID) -> HomeMachine:
    return HomeMachine(place, identity)


def other_code(gateway: Gateway) -> str:
    """A well-formed code that is not the gateway's."""
    machine = GatewayMachine(PLACE, replace(GATEWAY_ID))
    while True:
        code = machine.shown_code(machine.new_code(GatewayState(), NOW, LIFETIME), NOW, URL).typed
        if code != gateway.typed():
            return code


def greet(gateway: Gateway, text: str | None = None, peer: str = HOME_ADDRESS) -> HomeOutcome:
    """The home up to its proof: both have a key, nobody knows whether it is the same."""
    machine = home()
    begun = machine.begin(parse_code(gateway.typed() if text is None else text))
    return machine.received_hello(begun.state, gateway.post("hello", begun.message, peer)).raised()


def meet(gateway: Gateway, text: str | None = None) -> HomeOutcome:
    """The home up to the gateway's identity."""
    greeted = greet(gateway, text)
    return home().received_confirm(greeted.state, gateway.post("confirm", greeted.message)).raised()


async def claim(gateway: Gateway, text: str | None = None) -> HomeOutcome:
    """The home up to its claim, signed by the owner and not sent yet."""
    machine, met = home(), meet(gateway, text)
    message = machine.propose(met.state, NONCE, DEADLINE)
    return machine.signed(met.state, message, await OWNER.sign_message(message, PLACE.domain()))


async def pair(gateway: Gateway, text: str | None = None) -> HomeOutcome:
    """The whole exchange."""
    claimed = await claim(gateway, text)
    waiting = gateway.answer("finish", claimed.message).raised()
    return home().received_finish(claimed.state, await gateway.sign(waiting.to_sign)).raised()


EVIL = SealingKey(b"\x66" * 32)


def evil_identity(account: bytes) -> PeerIdentity:
    return PeerIdentity(account, EVIL.public_bytes, "http://evil.example", "Gateway")
