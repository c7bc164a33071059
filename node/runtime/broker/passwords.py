"""Password hashes of broker users.

Three kinds are understood, told apart by how they begin:

* `$argon2id$...` (RFC 9106) with 19 MiB: what `hash_password` makes;
* `$scrypt$<log2 n>$<r>$<p>$<salt>$<hash>` (RFC 7914), base64;
* `$7$<rounds>$<salt>$<hash>`, PBKDF2-HMAC-SHA512 as Mosquitto writes it, base64. Mosquitto reads no other, so a user
  that is to exist in both brokers gets this kind from `hash_for_mosquitto`.

Broker passwords are made by programs and have 256 bits; the slow hashes protect those that a person chose.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from node.runtime.broker.errors import BrokerSettingsError

__all__ = ["MOSQUITTO_PREFIX", "check_hash", "hash_for_mosquitto", "hash_password", "matches_hash"]

MOSQUITTO_PREFIX = "$7$"
_ARGON = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
_ROUNDS = 20_000
_MOST_ROUNDS = 1_000_000


def hash_password(password: str) -> str:
    """An argon2id hash."""
    return _ARGON.hash(password)


def hash_for_mosquitto(password: str) -> str:
    """A hash that both brokers understand."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    return f"{MOSQUITTO_PREFIX}{_ROUNDS}${_text(salt)}${_text(digest)}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def check_hash(hashed: str) -> None:
    """Raise BrokerSettingsError for a hash of no known kind, so that a typing error is found at start."""
    try:
        if hashed.startswith("$argon2"):
            extract_parameters(hashed)
        else:
            _derivation(hashed)
    except (ValueError, InvalidHashError):
        raise BrokerSettingsError("a password hash is of no known kind") from None


def matches_hash(hashed: str, password: str) -> bool:
    """Whether the password belongs to a hash that `check_hash` took. Slow on purpose: call it off the event loop."""
    if hashed.startswith("$argon2"):
        try:
            return _ARGON.verify(hashed, password)
        except VerificationError:
            return False
    derive, wanted = _derivation(hashed)
    return hmac.compare_digest(derive(password.encode()), wanted)


def _derivation(hashed: str) -> tuple[Callable[[bytes], bytes], bytes]:
    """(password -> digest, expected digest) of a hash. Raises ValueError."""
    _, kind, *numbers, salt_text, wanted_text = hashed.split("$")
    salt, wanted = (base64.b64decode(text, validate=True) for text in (salt_text, wanted_text))
    if not 16 <= len(wanted) <= 64:
        raise ValueError("digest length")
    if kind == "7":
        (rounds,) = map(int, numbers)
        if not 1 <= rounds <= _MOST_ROUNDS:
            raise ValueError("rounds")
        return lambda password: hashlib.pbkdf2_hmac("sha512", password, salt, rounds, len(wanted)), wanted
    if kind == "scrypt":
        log_n, r, p = map(int, numbers)
        if not (1 <= log_n <= 17 and 1 <= r <= 16 and 1 <= p <= 4):
            raise ValueError("parameters")
        most = 256 * (2**log_n) * r

        def scrypt(password: bytes) -> bytes:
            return hashlib.scrypt(password, salt=salt, n=2**log_n, r=r, p=p, maxmem=most, dklen=len(wanted))

        return scrypt, wanted
    raise ValueError("kind")
