"""The streams that this gateway writes for its owner: names, keys, parameters, all from identity and config."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from channels.slots import StreamParams
from keys.errors import KeysError
from keys.messages import Domain, RegisterStream
from keys.signers import LocalSigner
from keys.stream_key import ED25519_PUBLIC_SIZE, StreamKey, stream_key_hash
from node.app.core import Core
from node.errors import NeedsPerson, Refused
from node.projection.device import Device
from node.wire.streams import StreamTake

__all__ = ["StreamSpec", "as_registered", "check_stream_key", "stream_id", "stream_spec"]

OFFER_VALID_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream: `salt` and `category` make its name, `label` its keys; `params` are what the chain will say.

    `taken`: another writer wrote it before, so the masters are those of this writer's time alone.
    """

    category: str
    label: str
    owner: bytes
    salt: bytes
    name_hash: bytes
    params: StreamParams
    writer: LocalSigner
    stream_key: StreamKey
    taken: bool = False

    @property
    def sid(self) -> bytes:
        return self.params.sid

    def register(self, nonce: int, now: int) -> RegisterStream:
        """The message that owner and writer sign."""
        return RegisterStream(
            owner=self.owner,
            name_hash=self.name_hash,
            writer=self.writer.address,
            stream_key_hash=self.stream_key.key_hash(),
            genesis=self.params.genesis,
            slot_seconds=self.params.slot_seconds,
            nonce=nonce,
            deadline=now + OFFER_VALID_SECONDS,
        )


def stream_id(domain: Domain, owner: bytes, name_hash: bytes) -> bytes:
    """channels.md 1: `keccak256(abi.encode(chainId, registry, owner, nameHash))`."""
    fields = [domain.chain_id, domain.verifying_contract, owner, name_hash]
    return bytes(keccak(encode(["uint256", "address", "address", "bytes32"], fields)))


def stream_spec(
    core: Core, category: str, pairing: Device, genesis: int, taken: StreamTake | None = None
) -> StreamSpec:
    """The stream of a category under a pairing; the same on every call, so that nothing of it must be remembered.

    A pairing that ended took its streams' writer with it, so the next pairing begins new streams, but for those that
    were `taken` over from another gateway: they keep name, salt and slots, and so their id.
    """
    identity, settings = core.keys.identity, core.settings.streams
    owner, label = pairing.owner, f"{category}/{pairing.device_hash.hex()}"
    own = identity.secret(f"stream-salt/{label}")
    salt = own if taken is None else taken.salt
    begun = taken is None or (taken.generation == 0 and salt == own)
    if taken is not None and taken.generation:
        label = f"{label}/{taken.generation}"
    name_hash = bytes(keccak(salt + category.encode()))
    writer, stream_key = identity.writer(label), identity.stream_key(label, settings.post_quantum_signatures)
    domain = core.chain.domain
    params = StreamParams(
        sid=stream_id(domain, owner if taken is None else taken.first_owner or owner, name_hash),
        genesis=genesis if taken is None else taken.genesis,
        slot_seconds=settings.slot_seconds if taken is None else taken.slot_seconds,
        domain=domain,
        writer=writer.address,
        stream_public=stream_key.public_bytes,
        signed_envelopes=category in settings.signed_envelopes if taken is None else taken.signed_envelopes,
    )
    return StreamSpec(category, label, owner, salt, name_hash, params, writer, stream_key, not begun)


def as_registered(core: Core, spec: StreamSpec, key_hash: bytes) -> StreamSpec:
    """The spec with the stream key that the chain names: a stream that was registered before the setting changed keeps
    its number of signatures, since its readers go by the chain.

    NeedsPerson when the chain names a key that this gateway does not have.
    """
    for post_quantum in (False, True):
        key = core.keys.identity.stream_key(spec.label, post_quantum)
        if key.key_hash() == key_hash:
            return replace(spec, stream_key=key, params=replace(spec.params, stream_public=key.public_bytes))
    raise NeedsPerson(
        f"The chain names another stream key for {spec.category} than this gateway has.",
        remedy="Start the gateway with the recovery phrase that the stream was registered under.",
    )


def check_stream_key(public: bytes, registered: Collection[bytes]) -> None:
    """Refused unless `public` is a stream key whose hash is registered: who hands a key on could hand on another one,
    or only the half that is easier to forge."""
    try:
        found = stream_key_hash(public[:ED25519_PUBLIC_SIZE], public[ED25519_PUBLIC_SIZE:])
    except KeysError as error:
        raise Refused("That is no stream key.", field="stream_key") from error
    if found not in registered:
        raise Refused("The stream key is not the one that the chain names.", field="stream_key")
