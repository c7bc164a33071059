"""What an order says about itself and its counterpart beyond the signed fields: area, kind of energy, conditions (G-5).

The message has no place for it, and the chain must not learn it (contracts.md, Privacy). So the order's nonce, which
its signer is free to choose and signs, is a salted hash of these details; they travel beside the order, and whoever
holds both can check that they belong together. An order without details has a nonce without meaning.
"""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Final

from eth_utils.crypto import keccak
from pydantic import Field

from node.wire.fields import WIDE, Address, Body, Hash

__all__ = ["ELECTRIC", "ConditionBody", "Name", "OrderDetails", "carrier_of", "details_of_carrier", "new_salt"]

_TAG: Final = b"wattpact order details 1\x00"
ELECTRIC: Final = "electric"
"""The carrier of an order that says nothing of it (M-84)."""

_MOST_NAMES: Final = 16
_MOST_CONDITIONS: Final = 8

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,31}$")]
"""Of an area (a bidding zone or grid area) or of a kind of energy, as the market lists them."""


class ConditionBody(Body):
    """One of several that are joined by "or"; an empty list asks for nothing. `price` and `wh` bound the order further:
    an offer's least or a request's highest price, and what may be filled of the order in all when it is used."""

    partners: Annotated[tuple[Address, ...], Field(max_length=_MOST_NAMES)] = ()
    areas: Annotated[tuple[Name, ...], Field(max_length=_MOST_NAMES)] = ()
    energies: Annotated[tuple[Name, ...], Field(max_length=_MOST_NAMES)] = ()
    price: Annotated[int, Field(ge=0, lt=2**88), WIDE] | None = None
    wh: Annotated[int, Field(gt=0, lt=2**64), WIDE] | None = None


class OrderDetails(Body):
    """Details of one order. `salt` is fresh for each, so that two equal orders differ and nothing can be guessed."""

    salt: Hash
    area: Name | None = None
    energy: Name | None = None
    conditions: Annotated[tuple[ConditionBody, ...], Field(max_length=_MOST_CONDITIONS)] = ()

    def nonce(self) -> int:
        """The nonce of the order to which these details belong."""
        document = self.to_json()
        for written, condition in zip(document["conditions"], self.conditions, strict=True):
            written["price"], written["wh"] = condition.price, condition.wh  # numbers here, however they travel
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return int.from_bytes(keccak(_TAG + text.encode()), "big")


def new_salt() -> bytes:
    """32 bytes from the system's source of chance."""
    return secrets.token_bytes(32)


def details_of_carrier(carrier: str) -> OrderDetails | None:
    """Details by which what is not electricity is matched with its own kind alone (M-84). None for electricity: it is
    what an order is for that says nothing."""
    if carrier == ELECTRIC:
        return None
    return OrderDetails(salt=new_salt(), energy=carrier, conditions=(ConditionBody(energies=(carrier,)),))


def carrier_of(details: str) -> str:
    """What an order is of, by its stored details (JSON text, empty for none): the kind of energy that it names."""
    return (OrderDetails.model_validate_json(details).energy if details else None) or ELECTRIC
