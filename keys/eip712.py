"""EIP-712 encoding for a fixed set of struct types, driven by their type strings.

A `Struct` is compiled once from the text that goes into the type hash, so the text, the checks, the encoding and the
JSON form cannot disagree. Types: address, bool, bytes32, bytes32[], string, uintN. Source: EIP-712, EIP-55.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

import sha3

from keys.errors import MessageError

__all__ = [
    "Domain",
    "Field",
    "FieldType",
    "Struct",
    "digest_of",
    "domain_document",
    "domain_from_document",
    "expect_keys",
    "keccak256",
]

_SAFE_INTEGER = 2**53 - 1  # the largest integer that every JSON reader keeps exact (RFC 8785 uses the same bound)
_SHORT = 80  # characters; what is longer is read anew each time, so that nobody fills the memory with names
_HEX = re.compile(r"0x[0-9a-fA-F]*\Z")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,77})\Z")
_TYPE = re.compile(r"([A-Z][A-Za-z0-9]*)\(([^()]*)\)\Z")
_UINT = re.compile(r"uint([1-9][0-9]{0,2})\Z")


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (not SHA3-256); 32 bytes."""
    return bytes(sha3.keccak_256(data).digest())


@dataclass(frozen=True, slots=True)
class FieldType:
    """One Solidity type: `check` and `load` raise MessageError naming `where`; `encode` gives the 32-byte word."""

    name: str
    check: Callable[[str, object], None]
    encode: Callable[[Any], bytes]
    dump: Callable[[Any], Any]
    load: Callable[[str, object], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a struct: its Solidity name, the attribute that carries it and its type."""

    name: str
    attribute: str
    type: FieldType


def _check_bytes(size: int) -> Callable[[str, object], None]:
    def check(where: str, value: object) -> None:
        if not isinstance(value, bytes):
            raise MessageError(f"{where}: expected {size} bytes, got {type(value).__name__}")
        if len(value) != size:
            raise MessageError(f"{where}: expected {size} bytes, got {len(value)}")

    return check


def _load_hex(size: int) -> Callable[[str, object], bytes]:
    def load(where: str, value: object) -> bytes:
        if not isinstance(value, str) or not _HEX.match(value):
            raise MessageError(f"{where}: expected a 0x-prefixed hex string of {size} bytes")
        if len(value) != 2 + 2 * size:
            raise MessageError(f"{where}: expected {size} bytes, got {(len(value) - 2) / 2:g}")
        return bytes.fromhex(value[2:])

    return load


@lru_cache(maxsize=4_096)  # the same contract and the same owners come again and again
def _checksummed(address: bytes) -> str:
    """The spelling of EIP-55: a letter is a capital where the digit of the hash at its place is 8 or more."""
    digits = address.hex()
    marks = sha3.keccak_256(digits.encode()).hexdigest()
    return "0x" + "".join([d.upper() if mark > "7" else d for d, mark in zip(digits, marks, strict=False)])


_load_20 = _load_hex(20)


def _load_address(where: str, value: object) -> bytes:
    address = _load_20(where, value)
    if value == _checksummed(address):
        return address
    text = str(value)[2:]
    # EIP-55: an address in mixed case carries a checksum; a wrong one is a typing error or a forgery of the eye.
    if text != text.lower() and text != text.upper():
        raise MessageError(f"{where}: the address checksum (EIP-55) is wrong")
    return address


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _word(value: bytes) -> bytes:
    return value


_ADDRESS = FieldType(
    "address",
    _check_bytes(20),
    lambda value: bytes(12) + value,
    _checksummed,
    _load_address,
)
_BYTES32 = FieldType("bytes32", _check_bytes(32), _word, _hex, _load_hex(32))


def _check_list(where: str, value: object) -> None:
    if not isinstance(value, tuple):
        raise MessageError(f"{where}: expected a tuple, got {type(value).__name__}")
    for index, item in enumerate(value):
        _BYTES32.check(f"{where}[{index}]", item)


def _load_list(where: str, value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list):
        raise MessageError(f"{where}: expected a list")
    return tuple(_BYTES32.load(f"{where}[{index}]", item) for index, item in enumerate(value))


_BYTES32_LIST = FieldType(
    "bytes32[]",
    _check_list,
    lambda value: keccak256(b"".join(value)),
    lambda value: [_hex(v) for v in value],
    _load_list,
)


def _check_string(where: str, value: object) -> None:
    if not isinstance(value, str):
        raise MessageError(f"{where}: expected a string, got {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MessageError(f"{where}: not valid Unicode text") from error


def _load_string(where: str, value: object) -> str:
    _check_string(where, value)
    return str(value)


_STRING = FieldType(
    "string", _check_string, lambda value: keccak256(value.encode("utf-8")), lambda value: value, _load_string
)


def _check_bool(where: str, value: object) -> None:
    if not isinstance(value, bool):
        raise MessageError(f"{where}: expected true or false, got {type(value).__name__}")


def _load_bool(where: str, value: object) -> bool:
    _check_bool(where, value)
    return bool(value)


_BOOL = FieldType("bool", _check_bool, lambda value: bytes(31) + bytes([value]), lambda value: value, _load_bool)


def _uint(bits: int) -> FieldType:
    bound = 1 << bits

    def checked(where: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise MessageError(f"{where}: expected an integer, got {type(value).__name__}")
        if not 0 <= value < bound:
            raise MessageError(f"{where}: does not fit uint{bits}")
        return value

    def check(where: str, value: object) -> None:
        checked(where, value)

    def load(where: str, value: object) -> int:
        if isinstance(value, str):
            # Wallets and browsers hand wide integers around as decimal text; one spelling only.
            if not _DECIMAL.match(value):
                raise MessageError(f"{where}: expected an integer or its decimal digits")
            value = int(value)
        return checked(where, value)

    def dump(value: int) -> int | str:
        return str(value) if bits > 53 else value

    return FieldType(f"uint{bits}", check, lambda value: value.to_bytes(32, "big"), dump, load)


def _field_type(name: str) -> FieldType:
    plain = {t.name: t for t in (_ADDRESS, _BOOL, _BYTES32, _BYTES32_LIST, _STRING)}
    if name in plain:
        return plain[name]
    match = _UINT.match(name)
    if match is None or int(match[1]) % 8 or int(match[1]) > 256:
        raise MessageError(f"no encoding for type {name!r}")
    return _uint(int(match[1]))


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), name)


class Struct:
    """A struct compiled from its EIP-712 type string, e.g. `Revoke(address account,bytes32 grantId,bytes32 sid)`."""

    __slots__ = (
        "_checks",
        "_document",
        "_encoders",
        "_loaders",
        "_names",
        "_values",
        "fields",
        "name",
        "type_hash",
        "type_string",
    )

    def __init__(self, type_string: str) -> None:
        match = _TYPE.match(type_string)
        if match is None:
            raise MessageError(f"not an EIP-712 type string: {type_string!r}")
        self.type_string = type_string
        self.name = match[1]
        pairs = [part.split(" ") for part in match[2].split(",")]
        self.fields = tuple(Field(name, _snake(name), _field_type(kind)) for kind, name in pairs)
        self.type_hash = keccak256(type_string.encode())
        self._values = attrgetter(*(field.attribute for field in self.fields))
        # What each message goes through, put together once: a relay checks and hashes thousands in a second.
        places = [f"{self.name}.{field.name}" for field in self.fields]
        self._checks = tuple((field.type.check, where) for field, where in zip(self.fields, places, strict=True))
        self._encoders = tuple(field.type.encode for field in self.fields)
        self._loaders = tuple(
            (field.attribute, field.type.load, where, field.name)
            for field, where in zip(self.fields, places, strict=True)
        )
        self._names = frozenset(field.name for field in self.fields)
        self._document = [{"name": field.name, "type": field.type.name} for field in self.fields]

    def __repr__(self) -> str:
        return f"Struct({self.type_string!r})"

    def check(self, message: object) -> None:
        """Raise MessageError for the first field whose value does not fit its type."""
        for (check, where), value in zip(self._checks, self._values(message), strict=True):
            check(where, value)

    def values(self, message: object) -> tuple[Any, ...]:
        """The field values in the order of the type string (the order of the Solidity struct)."""
        found = self._values(message)
        return found if len(self.fields) > 1 else (found,)

    def hash(self, message: object) -> bytes:
        """hashStruct of EIP-712; the message must have passed `check`."""
        words = [encode(value) for encode, value in zip(self._encoders, self._values(message), strict=True)]
        return keccak256(self.type_hash + b"".join(words))

    def type_document(self) -> list[dict[str, str]]:
        """The entry of this struct in the `types` of a typed-data document."""
        return [dict(entry) for entry in self._document]

    def is_described_by(self, document: object) -> bool:
        """Whether an entry of somebody's `types` is this struct's."""
        return document == self._document

    def dump(self, message: object) -> dict[str, Any]:
        """JSON values by Solidity field name."""
        found = zip(self.fields, self._values(message), strict=True)
        return {field.name: field.type.dump(value) for field, value in found}

    def load(self, document: object) -> dict[str, Any]:
        """Values by attribute name; MessageError names a missing, an extra or an ill-formed field."""
        if not isinstance(document, Mapping):
            raise MessageError(f"{self.name}: expected an object")
        if document.keys() != self._names:
            expect_keys(self.name, document, [field.name for field in self.fields])
        return {attribute: load(where, document[name]) for attribute, load, where, name in self._loaders}


def expect_keys(where: str, document: Mapping[Any, Any], names: list[str]) -> None:
    """Raise MessageError unless the document has exactly these keys."""
    missing = [name for name in names if name not in document]
    if missing:
        raise MessageError(f"{where}: {missing[0]} is missing")
    extra = [key for key in document if key not in names]
    if extra:
        raise MessageError(f"{where}: unknown field {str(extra[0])[:40]!r}")


_DOMAIN_CONTRACT = Struct("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_DOMAIN_PLAIN = Struct("EIP712Domain(string name,string version,uint256 chainId)")


@dataclass(frozen=True, slots=True)
class Domain:
    """What a signature is good for: program, version, chain and contract (None for messages no contract ever sees)."""

    name: str
    version: str
    chain_id: int
    verifying_contract: bytes | None = None

    def __post_init__(self) -> None:
        _domain_struct(self).check(self)
        if not self.name or not self.version:
            raise MessageError("EIP712Domain: name and version must not be empty")
        # EIP-2294 bounds chain ids; this tighter bound keeps them exact in every JSON reader.
        if not 1 <= self.chain_id <= _SAFE_INTEGER:
            raise MessageError("EIP712Domain.chainId: must be between 1 and 2^53 - 1")

    def separator(self) -> bytes:
        """The domain separator, 32 bytes; computed once per domain."""
        return _separator(self)


def _domain_struct(domain: Domain) -> Struct:
    return _DOMAIN_PLAIN if domain.verifying_contract is None else _DOMAIN_CONTRACT


@lru_cache(maxsize=256)
def _separator(domain: Domain) -> bytes:
    return _domain_struct(domain).hash(domain)


def digest_of(struct: Struct, message: object, domain: Domain) -> bytes:
    """The 32 bytes that are signed: keccak256(0x1901 || domain separator || hashStruct)."""
    return keccak256(b"\x19\x01" + _separator(domain) + struct.hash(message))


def domain_document(domain: Domain) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """The domain's entry in `types` and its values, for a typed-data document."""
    struct = _domain_struct(domain)
    values = struct.dump(domain)
    values["chainId"] = domain.chain_id  # wallets compare it with their own number
    return struct.type_document(), values


def domain_from_document(types: object, values: object) -> Domain:
    """The inverse of domain_document; only the two sets of domain fields that we use are known."""
    for struct in (_DOMAIN_CONTRACT, _DOMAIN_PLAIN):
        if struct.is_described_by(types):
            if isinstance(values, Mapping) and all(_is_short(value) for value in values.values()):
                return _domain(struct, tuple(values.items()))
            return Domain(**struct.load(values))
    raise MessageError("types.EIP712Domain: expected name, version, chainId and optionally verifyingContract")


def _is_short(value: object) -> bool:
    return type(value) is int or (type(value) is str and len(value) <= _SHORT)


@lru_cache(maxsize=64)
def _domain(struct: Struct, values: tuple[tuple[Any, str | int], ...]) -> Domain:
    """A program meets few domains: one for each contract that it serves. What raises is not kept."""
    return Domain(**struct.load(dict(values)))
