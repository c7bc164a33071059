"""What all signed messages have in common: typed fields, a digest, a JSON document for wallets, a signer.

A message checks every width when it is made, so encoding cannot fail later. Signatures are 65 bytes r || s || v with v
27 or 28 and s in the lower half. Sources: EIP-712, EIP-2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from coincurve import PublicKey

from keys.eip712 import Domain, Struct, digest_of, domain_document, keccak256
from keys.errors import MessageError, SignatureError

__all__ = ["DEADLINE", "Message", "digest", "recover", "recover_digest", "struct_values", "typed_data", "verify"]

DEADLINE = "uint256 nonce,uint40 deadline"  # how the types of most messages end

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1 (SEC 2)


@dataclass(frozen=True, slots=True)
class Message:
    """Base of the signed messages; making one with a wrong width or type raises MessageError naming the field.

    A message names its EIP-712 type in `STRUCT`; its fields are those of the type, in the same order.
    """

    STRUCT: ClassVar[Struct | None] = None

    def __post_init__(self) -> None:
        _struct(self).check(self)


def _struct(message: Message) -> Struct:
    struct = message.STRUCT
    if struct is None:
        raise MessageError(f"{type(message).__name__} is not a message that is signed")
    return struct


def struct_values(message: Message) -> tuple[Any, ...]:
    """The field values in the order of the Solidity struct, for calls and abi.encode."""
    return _struct(message).values(message)


def digest(message: Message, domain: Domain) -> bytes:
    """The 32 bytes that are signed; also the message's id."""
    return digest_of(_struct(message), message, domain)


def typed_data(message: Message, domain: Domain) -> dict[str, Any]:
    """The JSON document for eth_signTypedData_v4: any wallet signs it. Integers wider than 53 bits are decimal text."""
    struct = _struct(message)
    domain_types, domain_values = domain_document(domain)
    return {
        "types": {"EIP712Domain": domain_types, struct.name: struct.type_document()},
        "primaryType": struct.name,
        "domain": domain_values,
        "message": struct.dump(message),
    }


def recover(message: Message, domain: Domain, signature: bytes) -> bytes:
    """The address (20 bytes) whose key made the signature; SignatureError if it is not canonical or recovers none."""
    return _recover(message, digest(message, domain), signature)


def _recover(message: Message, signed: bytes, signature: bytes) -> bytes:
    try:
        return recover_digest(signed, signature)
    except SignatureError as error:
        raise SignatureError(f"{type(message).__name__}: {error}") from error


def recover_digest(signed: bytes, signature: bytes) -> bytes:
    """The same for a message whose digest (32 bytes) is at hand."""
    if not isinstance(signature, bytes) or len(signature) != 65:
        raise SignatureError("a signature is 65 bytes r || s || v")
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if v not in (27, 28):
        raise SignatureError(f"v must be 27 or 28, got {v}")
    # A high s is the same signature spelled differently; two spellings of one message would pass a filter by signature.
    if not (0 < r < _ORDER and 0 < s <= _ORDER // 2):
        raise SignatureError("r or s is out of range or s is not in the lower half")
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes([v - 27]), signed, hasher=None)
    except ValueError as error:
        raise SignatureError("the signature recovers no key") from error
    return keccak256(key.format(compressed=False)[1:])[12:]


def verify(message: Message, domain: Domain, signature: bytes, signer: bytes) -> bytes:
    """The digest that was signed; SignatureError unless `signer` (20 bytes) made the signature."""
    signed = digest(message, domain)
    found = _recover(message, signed, signature)
    if found != signer:
        raise SignatureError(f"{type(message).__name__}: signed by 0x{found.hex()}, expected 0x{signer.hex()}")
    return signed
