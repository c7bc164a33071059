"""Words that an ordinary wallet signs for a person (EIP-191 version 0x45, `personal_sign`)."""

from __future__ import annotations

from typing import Final

from keys.eip712 import keccak256
from keys.messages.base import recover_digest

__all__ = ["recover_personal"]

_SIZE: Final = 65
_PREFIX: Final = b"\x19Ethereum Signed Message:\n"


def recover_personal(text: str, signature: bytes) -> bytes:
    """The address (20 bytes) whose key signed the text; SignatureError if the signature is not canonical.

    Some hardware wallets write v as 0 or 1, which says the same as 27 or 28. Contract accounts (ERC-1271) sign
    otherwise and are not recovered here.
    """
    if len(signature) == _SIZE and signature[-1] in (0, 1):
        signature = signature[:-1] + bytes([signature[-1] + 27])
    data = text.encode()
    return recover_digest(keccak256(_PREFIX + str(len(data)).encode() + data), signature)
