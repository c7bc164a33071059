"""Ether from nothing, where it is worth nothing: on a devnet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from node.clock import SystemClock
from node.config import DEVNET_CHAIN_ID
from node.errors import UsageError
from node.ledger import wire
from node.ledger.endpoint import Pace
from node.ledger.rpc import Rpc, RpcOptions
from node.types import Address, address_from_text, address_to_text

__all__ = ["give_test_ether"]

_EACH: Final = 100
_PATIENCE: Final = RpcOptions(Pace(timeout=5.0), attempts=1)


def give_test_ether(rpc_url: str, accounts: Sequence[str]) -> list[dict[str, object]]:
    """Sets the balance of each account to 100 ETH. Raises UsageError for what is no address, and the errors of an
    endpoint: it is out of reach, serves another chain, or is no anvil."""
    found = [_address(text) for text in accounts]
    asyncio.run(_give(rpc_url, found))
    return [{"account": address_to_text(address), "ether": _EACH} for address in found]


def _address(text: str) -> Address:
    try:
        return address_from_text(text)
    except ValueError as wrong:
        raise UsageError(f"{text} is no address: {wrong}.", remedy="`wattpact doctor` shows the sender's.") from None


async def _give(rpc_url: str, accounts: Sequence[Address]) -> None:
    async with Rpc([rpc_url], DEVNET_CHAIN_ID, SystemClock(), _PATIENCE) as rpc:
        await rpc.connect()
        for address in accounts:
            balance = wire.quantity_hex(_EACH * 10**18)
            await rpc.request("anvil_setBalance", [wire.address_hex(address), balance])
