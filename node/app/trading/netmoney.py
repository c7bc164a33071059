"""Money for the net settlement: a deposit, and the token's permit for it, both signed by whoever pays."""

from __future__ import annotations

import secrets

from keys import messages as m
from keys.signers import LocalSigner
from node.app.core import Core
from node.app.trading.assetvoice import VALID_S
from node.app.trading.netlines import net_domain_of
from node.errors import Conflict
from node.ledger.market import opened
from node.types import address_to_text

__all__ = ["net_deposit"]


async def net_deposit(
    core: Core, payer: LocalSigner, operator: bytes, amount: int
) -> tuple[m.Deposit, tuple[bytes, ...]]:
    """The message, which the payer still signs, and the permit that opens it, with its signature. Minor units.

    Raises Conflict where the payer's own wallet has less, or this node follows no market.
    """
    if core.chain.market is None:
        raise Conflict("This node follows no market.", remedy="Set settlement.market.")
    money, domain, until = await core.chain.market.money(), net_domain_of(core), core.clock.now() + VALID_S
    there = await money.balance(payer.address)
    if amount > there:
        raise Conflict(
            f"The account {address_to_text(payer.address)} has {there} minor units.", remedy="Send it some first."
        )
    nonce = await money.nonce(payer.address)
    permit, spelled = (
        m.Permit(payer.address, domain.verifying_contract or b"", amount, nonce, until),
        await money.domain(),
    )
    opening = (opened(permit, spelled), await payer.sign_message(permit, spelled))
    return m.Deposit(payer.address, operator, amount, secrets.randbits(256), until), opening
