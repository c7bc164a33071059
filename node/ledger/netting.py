"""The NetSettlement contract as the ledger uses it: mandates and batches become calls, and its views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TypeVar

from contracts.bindings import net_settlement as abi
from contracts.errors import ContractsError
from contracts.nettings import decode_entries
from keys import messages as m
from node.ledger.answers import ask
from node.ledger.errors import MessageMalformed
from node.ledger.faces import Face, Silent
from node.ledger.market import permitted
from node.ledger.openings import raw_in
from node.ledger.reader import At, ChainReader
from node.ledger.reverts import Reason, reason_from
from node.ledger.transaction import Call

__all__ = ["NetState", "NetViews", "net_call", "net_face"]

T = TypeVar("T")


class NetState(IntEnum):
    """What became of a day's batch, as `INetSettlement.NetState` counts. `NONE` again once a later day has its record,
    which is 32 days later at the earliest and only after the batch ended."""

    NONE = 0
    OPEN = 1
    RELEASED = 2
    VOID = 3


def net_call(address: bytes, message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening]) -> Call:
    """The call for a mandate, a batch (opened by debits and credits), a deposit (by permit and signature) or a
    withdrawal. Raises MessageMalformed."""
    name = type(message).__name__
    if len(signatures) != 1:
        raise MessageMalformed(f"{name} takes 1 signature")
    match message, len(opening):
        case m.NetMandate(), 0:
            return Call(address, abi.encode_set_mandate(message, signatures[0]), gas=200_000)
        case m.NetBatch(), 2:
            taken, given = raw_in(opening)
            data = abi.encode_settle_net(message, taken, given, signatures[0])
            return Call(address, data, gas=200_000 + 500 * (len(taken) + len(given)))
        case m.Deposit(), 2:
            permit = abi.PermitSignature(*permitted(opening))
            return Call(address, abi.encode_deposit_with_permit(message, signatures[0], permit), gas=400_000)
        case m.Withdraw(), 0:
            return Call(address, abi.encode_withdraw(message, signatures[0]), gas=200_000)
    raise MessageMalformed(f"{name} with {len(opening)} value(s) besides is not a message of the net settlement")


def _reason(data: bytes) -> Reason | None:
    return reason_from(abi.ERRORS, abi.decode_error, data)


def net_face(chain_id: int, address: bytes) -> Face:
    """The face of the NetSettlement at an address."""
    kinds = frozenset({m.NetMandate, m.NetBatch, m.Deposit, m.Withdraw})
    return Face(m.net_settlement_domain(chain_id, address), kinds, net_call, Silent(), _reason)


class NetViews:
    """What one NetSettlement says. Minor units; all raise RpcError."""

    def __init__(self, reader: ChainReader, address: bytes) -> None:
        self.address = address
        self._reader = reader

    async def number(self, operator: bytes, account: bytes) -> int:
        """An account's number in an operator's book; 0 where there is none."""
        return await self._ask(abi.encode_number_of(operator, account), abi.decode_number_of)

    async def member(self, operator: bytes, account: bytes, *, at: At = "latest") -> abi.Member:
        """An account's entry in an operator's book, with its mandate; all zero where there is none."""
        return await self._ask(abi.encode_member_of(operator, account), abi.decode_member_of, at)

    async def batch(self, operator: bytes, period: int, *, at: At = "latest") -> NetState:
        """What became of a day's batch."""
        state, _ = await self._ask(abi.encode_net_of(operator, period), abi.decode_net_of, at)
        return NetState(state)

    async def window(self) -> int:
        """Seconds that credits wait."""
        return await self._ask(abi.encode_dispute_window(), abi.decode_dispute_window)

    async def moved(self, operator: bytes, period: int, block: int) -> dict[int, int] | None:
        """What the batch of a day moved, by the number of each member: below zero it paid. None where a block has no
        such batch; there is one at most."""
        for log in await self._reader.logs_over([self.address], block, block):
            try:
                found = abi.decode_log(log.topics, log.data)
            except ContractsError:
                continue
            if isinstance(found, abi.NetSettled) and (found.operator, found.period) == (operator, period):
                debits = {number: -amount for number, amount in decode_entries(found.debits)}
                return debits | dict(decode_entries(found.credits))
        return None

    async def demanded(self, operator: bytes, period: int, since: int) -> frozenset[int]:
        """Members who asked for the lines behind their debit and were not shown them, from a block on."""
        _, open_ = await self._ask(abi.encode_net_of(operator, period), abi.decode_net_of)
        if not open_:
            return frozenset()
        head = await self._reader.head()
        asked: set[int] = set()
        for log in await self._reader.logs_over([self.address], since, head.number):
            try:
                found = abi.decode_log(log.topics, log.data)
            except ContractsError:
                continue
            if isinstance(found, abi.LinesDemanded | abi.LinesShown) and (found.operator, found.period) == (
                operator,
                period,
            ):
                asked = asked | {found.member} if isinstance(found, abi.LinesDemanded) else asked - {found.member}
        return frozenset(asked)

    async def _ask(self, data: bytes, decode: Callable[[bytes], T], at: At = "latest") -> T:
        return await ask(self._reader, self.address, data, decode, "the net settlement", at=at)
