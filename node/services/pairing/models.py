"""Values of pairing: who each side is, where both stand, and what both hold in the end."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from keys.errors import KeysError
from keys.ids import device_hash
from keys.messages import Domain, PairDevice, registry_domain
from keys.sealing import seal
from node.services.pairing.code import check_url
from node.services.pairing.errors import BadCode, MalformedMessage

__all__ = ["FINGERPRINT_SIZE", "Pairing", "PeerIdentity", "Place", "fingerprint"]

FINGERPRINT_SIZE = 16
_MAX_LABEL = 80


@dataclass(frozen=True, slots=True)
class Place:
    """The chain and the ConsentRegistry (20 bytes) on which the pairing will stand."""

    chain_id: int
    registry: bytes

    def __post_init__(self) -> None:
        try:
            registry_domain(self.chain_id, self.registry)
        except KeysError as error:
            raise MalformedMessage(str(error), field="place") from error

    def domain(self) -> Domain:
        return registry_domain(self.chain_id, self.registry)


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """One side of the pairing; MalformedMessage if a value cannot be used.

    `account` is the owner's wallet or the device (20 bytes), `sealing_key` public (1,216 bytes), `inbox_url` empty if
    there is none, `label` a name for people.
    """

    account: bytes
    sealing_key: bytes
    inbox_url: str
    label: str

    def __post_init__(self) -> None:
        if len(self.account) != 20 or not any(self.account):
            raise MalformedMessage("an account is 20 bytes and not zero", field="account")
        try:
            seal(self.sealing_key, b"", b"wattpact pairing probe")  # a key that cannot be sealed to is no key
        except KeysError as error:
            raise MalformedMessage(str(error), field="sealing_key") from error
        if self.inbox_url:
            try:
                check_url(self.inbox_url)
            except BadCode as error:
                raise MalformedMessage(error.message, field="inbox_url") from error
        if len(self.label) > _MAX_LABEL or not self.label.isprintable():
            raise MalformedMessage(f"a label is at most {_MAX_LABEL} printable characters", field="label")


def fingerprint(identity: PeerIdentity) -> bytes:
    """16 bytes by which a QR code fixes the device before anything is exchanged."""
    data = b"wattpact device\x00" + identity.account + identity.sealing_key
    return hashlib.sha256(data).digest()[:FINGERPRINT_SIZE]


@dataclass(frozen=True, slots=True)
class Pairing:
    """What both sides hold in the end. `salt` opens the device hash and stays off the chain until the call.

    A side that has not yet got a signature holds it empty.
    """

    owner: PeerIdentity
    device: PeerIdentity
    message: PairDevice
    salt: bytes = field(repr=False)
    owner_signature: bytes = b""
    device_signature: bytes = b""

    def __post_init__(self) -> None:
        if self.message.owner != self.owner.account:
            raise MalformedMessage("the message names another owner", field="owner")
        if len(self.salt) != 32 or self.message.device_hash != device_hash(
            self.salt, self.owner.account, self.device.account
        ):
            raise MalformedMessage("the message names another device", field="device_hash")
