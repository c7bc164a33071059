"""Every message type there is, in one table, and the way from a wallet's document back to the message."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from keys.eip712 import Domain, Struct, domain_from_document, expect_keys
from keys.errors import MessageError
from keys.messages import consent, energy, market, offchain
from keys.messages.base import Message

__all__ = ["STRUCTS", "from_typed_data"]


def _messages() -> dict[type[Message], Struct]:
    found: dict[type[Message], Struct] = {}
    for module in (consent, energy, market, offchain):
        for name in module.__all__:
            made = getattr(module, name)
            if isinstance(made, type) and issubclass(made, Message) and made.STRUCT is not None:
                found[made] = made.STRUCT
    return found


STRUCTS: Mapping[type[Message], Struct] = MappingProxyType(_messages())
_BY_NAME: Mapping[str, type[Message]] = MappingProxyType({struct.name: cls for cls, struct in STRUCTS.items()})


def from_typed_data(document: object) -> tuple[Message, Domain]:
    """The inverse of typed_data, for documents that come from outside.

    The caller must compare the returned domain with the one it expects: a valid message for another chain or contract
    is somebody else's message. Raises MessageError for an unknown type, a type that differs from ours, a missing,
    extra or ill-formed field, naming it.
    """
    if not isinstance(document, Mapping):
        raise MessageError("typed data: expected an object")
    expect_keys("typed data", document, ["types", "primaryType", "domain", "message"])
    name = document["primaryType"]
    cls = _BY_NAME.get(name) if isinstance(name, str) else None
    if cls is None:
        raise MessageError(f"primaryType: unknown message type {str(name)[:40]!r}")
    struct = STRUCTS[cls]
    types = document["types"]
    if not isinstance(types, Mapping):
        raise MessageError("types: expected an object")
    expect_keys("types", types, ["EIP712Domain", struct.name])
    if not struct.is_described_by(types[struct.name]):
        raise MessageError(f"types.{struct.name}: differs from {struct.type_string}")
    domain = domain_from_document(types["EIP712Domain"], document["domain"])
    return cls(**struct.load(document["message"])), domain
