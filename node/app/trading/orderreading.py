"""What of an order or of a word can be checked by itself: its shape, its contract, whose signature it carries.

Pure, so that it can be done in another process. Whether the market wants it is decided afterwards, by `ordertaking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keys import messages as m
from keys.eip712 import Domain
from keys.errors import KeysError
from keys.parcel import Parcel
from node.app.spelling import canonical, peer_of, wish_for
from node.errors import InvalidInput, Refused
from node.projection.base import Peer
from node.projection.events import RequestedSubmission
from node.services.market.conditions import PLAIN, Condition, Particulars
from node.wire.orderdetails import OrderDetails
from node.wire.settlement import OrderPlaced, SignedMessage, SignedMessages

__all__ = ["WORDS", "ReadOrder", "particulars_of", "read_order", "read_words"]

WORDS = (m.Provision, m.Payment, m.Confirm, m.Remind, m.IssueClaim, m.Cure, m.Dispute, m.Cancel, m.Deposit, m.Withdraw)
"""What the market brings onto the chain for the accounts that signed it."""

_NOBODY = bytes(20)


class ReadOrder(NamedTuple):
    """A signed offer or request, for the contract of `domain`. `body` and `details` are its texts as the journal keeps
    them."""

    order_id: bytes
    message: m.Offer | m.Request
    domain: Domain
    body: str
    signature: bytes
    peer: Peer | None
    particulars: Particulars
    details: str


def read_order(domains: Sequence[Domain], parcel: Parcel) -> ReadOrder:
    """An order for one of these contracts. Raises ValidationError, InvalidInput, Refused."""
    body = OrderPlaced.model_validate(parcel.body)
    message, domain = _read(body.typed, domains)
    if not isinstance(message, m.Offer | m.Request):
        raise InvalidInput("Expected an Offer or a Request.", field="typed")
    if body.card is not None and parcel.sender != body.card.address:
        raise Refused("The order shows another party's card.", field="card.address")
    if body.card is None and parcel.sender != message.account:
        raise Refused("The order of another account comes with the card of whoever sends it.", field="card")
    details = body.details
    if details is not None and details.nonce() != message.nonce:
        raise Refused("The order's nonce does not commit to these details.", field="details")
    signed = _verified(message, body.signature, message.account, domain)
    return ReadOrder(
        signed,
        message,
        domain,
        m.stored_form(message, domain),
        body.signature,
        peer_of(body.card) if body.card is not None else None,
        particulars_of(message.partner, details),
        canonical(details.to_json()) if details is not None else "",
    )


def read_words(domain: Domain, operator: bytes, parcel: Parcel) -> tuple[RequestedSubmission, ...]:
    """Signed messages about contracts, or money, one in a `market.word` and up to sixteen in `market.words`: whether
    they may, the contract on chain decides. The wish to have them there is of no time yet. Raises ValidationError,
    InvalidInput, Refused."""
    if parcel.kind == "market.word":
        return (_word(SignedMessage.model_validate(parcel.body), domain, operator),)
    return tuple(_word(body, domain, operator) for body in SignedMessages.model_validate(parcel.body).words)


def _word(body: SignedMessage, domain: Domain, operator: bytes) -> RequestedSubmission:
    message, _ = _read(body.typed, (domain,))
    if not isinstance(message, WORDS) or message.operator != operator:
        raise Refused("The message is not for this market.", field="typed")
    signer = message.payer if isinstance(message, m.Payment) else message.account
    _verified(message, body.signatures[0], signer, domain)
    return wish_for(message, body.signatures, body.opening, domain, 0)


def particulars_of(partner: bytes, details: OrderDetails | None) -> Particulars:
    """What an order is and wants. `partner` is the signed field, zero for none."""
    if details is None:
        return Particulars(partner=partner) if partner != _NOBODY else PLAIN
    return Particulars(
        details.area or "",
        details.energy or "",
        partner if partner != _NOBODY else b"",
        tuple(
            Condition(frozenset(each.partners), frozenset(each.areas), frozenset(each.energies), each.price, each.wh)
            for each in details.conditions
        ),
    )


def _read(typed: object, domains: Sequence[Domain]) -> tuple[m.Message, Domain]:
    try:
        message, signed = m.from_typed_data(typed)
    except KeysError as error:
        raise InvalidInput(str(error), field="typed") from error
    if signed not in domains:
        raise Refused("The message is for another contract or chain.", field="typed.domain")
    return message, signed


def _verified(message: m.Message, signature: bytes, signer: bytes, domain: Domain) -> bytes:
    """The message's digest, once its signature is known to be the signer's."""
    try:
        return m.verify(message, domain, signature, signer)
    except KeysError as error:
        raise Refused(f"The message is not signed by the account it names: {error}.", field="signature") from error
