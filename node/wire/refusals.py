"""A market's no to an order, signed by its operator (A-28): `proof` of the problem document with which it answers the
parcel that brought the order.

Whoever is on the way to a market can answer in its place, and an asset that believes a stranger's no sells the same
energy twice. So the words of an answer count for nothing, and this does, for one order alone.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final

from pydantic import Field, ValidationError

from keys.errors import KeysError
from keys.messages import Statement, parcel_domain, verify
from keys.signers import Signer
from node.errors import Refused
from node.wire.fields import Body, Hash, Seconds, Signature

__all__ = ["OrderRefusal", "read_refusal", "refusal_statement", "signed_refusal"]

TOPIC: Final = "order refused"
VALID_S: Final = 7 * 86_400
_MOST: Final = 300


class OrderRefusal(Body):
    """Which order, why, and when it was said."""

    about: Hash
    reason: Annotated[str, Field(max_length=_MOST)]
    signed_at: Seconds
    signature: Signature


def refusal_statement(operator: bytes, about: bytes, reason: str, signed_at: int) -> Statement:
    """What the operator signs: the order's id and the reason, for a week."""
    digest = hashlib.sha256(about + reason.encode("utf-8", "surrogatepass")).digest()
    return Statement(operator, TOPIC, digest, about, signed_at, signed_at + VALID_S)


async def signed_refusal(signer: Signer, about: bytes, reason: str, chain_id: int, now: int) -> OrderRefusal:
    """The no of the market whose operator signs. Raises KeysError."""
    reason = reason[:_MOST]
    statement = refusal_statement(signer.address, about, reason, now)
    signature = await signer.sign_message(statement, parcel_domain(chain_id))
    return OrderRefusal(about=about, reason=reason, signed_at=now, signature=signature)


def read_refusal(proof: object, about: bytes, operator: bytes, chain_id: int, now: int) -> str:
    """The reason for which this operator refuses this order. Raises Refused for whatever does not prove that."""
    try:
        found = OrderRefusal.model_validate(proof)
        statement = refusal_statement(operator, about, found.reason, found.signed_at)
        verify(statement, parcel_domain(chain_id), found.signature, operator)
    except (ValidationError, KeysError) as error:
        raise Refused("The order's market did not sign that it refuses it.") from error
    if found.about != about or now > statement.expires_at:
        raise Refused("The refusal is of another order, or too old.")
    return found.reason
