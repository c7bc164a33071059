"""What owners, units and markets send to an asset, and an asset's registration at a market."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field

from keys.messages import Statement
from node.wire.consents import PartyCard
from node.wire.fields import DIGITS, WIDE, Address, Body, Hash, Seconds, Signature, Url

__all__ = [
    "IMAGE",
    "MAX_IMAGE",
    "PERSONAL",
    "REGISTRATION_VALID_S",
    "AssetConfig",
    "AssetRegistered",
    "AssetTold",
    "MeterCounted",
    "TradeNotice",
    "registration_statement",
]

REGISTRATION_TOPIC = "market registration"
REGISTRATION_VALID_S = 3_600

Energy = Annotated[int, Field(gt=0, lt=2**63, strict=True), DIGITS, WIDE]
Price = Annotated[int, Field(ge=0, lt=2**80, strict=True), DIGITS, WIDE]
Words = Annotated[str, Field(max_length=200)]
MAX_IMAGE = 24_000
"""Characters: a settings parcel with a picture stays far below what an inbox takes."""
IMAGE = r"^(data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/]+={0,2})?$"
"""A picture by value, of a kind that holds no script."""


class MeterCounted(Body):
    """Wh that a unit made or used since it told last."""

    energy: Energy


class AssetConfig(Body):
    """How an asset trades, as its owner says (M-1, M-70, M-78). Prices in minor units per kWh, energy in Wh.

    `offer_price` is the least that it takes, `limit_price` the most that it pays; `min_offer_wh` the smallest lot. A
    key or a seed is no part of it: the asset makes its own.
    """

    market: Url
    offer_price: Price
    limit_price: Price
    min_offer_wh: Energy
    delivery_s: Annotated[int, Field(ge=60, le=86_400)] = 900
    role: Literal["producer", "consumer", "prosumer"] = "prosumer"
    carrier: Literal["electric", "thermal"] = "electric"
    status: Literal["running", "paused", "retired"] = "running"
    dashboard: bool = False
    name: Words = ""
    area: Words = ""
    location: Words = ""
    description: Annotated[str, Field(max_length=2_000)] = ""
    image: Annotated[str, Field(max_length=MAX_IMAGE, pattern=IMAGE)] = ""


PERSONAL = ("area", "description", "image", "location", "name")
"""What a person wrote in the settings of an asset: it is erased by its key when the asset is retired (A-30)."""


class AssetTold(Body):
    """An asset tells its owner the account that it has in a market, and how it stands."""

    operator: Address
    account: Address
    status: Literal["running", "paused", "retired"]


class AssetRegistered(Body):
    """An asset's account in a market, and the node that it is reached at. `revocation` may end it by itself.

    `signature`: the account's own, of `registration_statement`; without one only `revocation` is heard.
    """

    account: Address
    card: PartyCard
    revocation: Address
    role: Literal["producer", "consumer", "prosumer"]
    carrier: Literal["electric", "thermal"]
    area: Words
    status: Literal["running", "paused", "retired"]
    signed_at: Seconds = 0
    signature: Signature | None = None


def registration_statement(body: AssetRegistered, operator: bytes) -> Statement:
    """What the account signs to be registered in one market: everything in the body but the signature itself."""
    document = body.to_json()
    del document["signature"]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).digest()
    until = body.signed_at + REGISTRATION_VALID_S
    return Statement(
        bytes(body.account), REGISTRATION_TOPIC, digest, operator.rjust(32, b"\x00"), body.signed_at, until
    )


class TradeNotice(Body):
    """A market tells a partner of a contract what became of it. The chain decides; this says where to look."""

    contract: Hash
    status: Words
    seed_status: Words
    wh: Annotated[int, Field(ge=0, lt=2**64), WIDE]
    price: Annotated[int, Field(ge=0, lt=2**88), WIDE]
    due: Annotated[int, Field(ge=0, lt=2**88), WIDE]
    reminders: Annotated[int, Field(ge=0, le=3)] = 0
    at: Annotated[int, Field(ge=0, lt=2**40)]
