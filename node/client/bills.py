"""What a contract costs an asset, as its market's desk shows it, and money on its way into a book."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable

from keys import messages as m
from keys.eip712 import Domain
from keys.signers import Signer
from node.errors import NodeUnreachable
from node.services.asset.rules import Bill
from node.wire.desk import DeskContract, DeskMoney

__all__ = ["arrival", "arrived", "bill_of", "booked", "deposit_of"]


def bill_of(contract: DeskContract) -> Bill:
    """A contract as something to be paid."""
    delivered, due = contract.delivered or 0, contract.due or 0
    return Bill(
        contract.id,
        contract.buyer,
        contract.request,
        contract.wh,
        contract.price,
        delivered,
        due,
        contract.since,
        contract.escrowed,
    )


async def deposit_of(
    signer: Signer, money: DeskMoney, operator: bytes, spender: bytes, amount: int, chain_id: int, until: int
) -> tuple[m.Deposit, tuple[bytes, bytes]]:
    """A deposit into a market's book, and what it is opened with: the permit of the token, by which `spender` alone can
    take the money."""
    permit = m.Permit(signer.address, spender, amount, money.permit_nonce, until)
    domain = Domain(money.token_name, money.token_version, chain_id, money.token)
    opened = json.dumps(m.typed_data(permit, domain), separators=(",", ":")).encode()
    message = m.Deposit(signer.address, operator, amount, secrets.randbits(256), until)
    return message, (opened, await signer.sign_message(permit, domain))


async def arrival(
    ask: Callable[[], Awaitable[DeskMoney]], before: DeskMoney, amount: int, patience: int, *, net: bool
) -> None:
    """Returns once a deposit is in its book. Raises NodeUnreachable after `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            # The market is asked, it tells nobody: there is no event to wait for.
            while not arrived(before, await ask(), amount, net=net):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
    except TimeoutError as late:
        raise NodeUnreachable("The deposit is not in the book yet.", remedy="Look at `money` later.") from late


def arrived(before: DeskMoney, after: DeskMoney, amount: int, *, net: bool) -> bool:
    """Whether a deposit is in a book, or was until a contract that waited for it took it: then its permit is used, and
    the wallet has so much less."""
    if booked(after, net=net) >= booked(before, net=net) + amount:
        return True
    return after.permit_nonce > before.permit_nonce and after.wallet + amount <= before.wallet


def booked(money: DeskMoney, *, net: bool) -> int:
    """What an account has in the market's own book, or in the one from which days are paid."""
    return money.net.balance if net and money.net is not None else money.balance
