"""What an asset says when something does not come, for programs of others: reminders, claims, cures, disputes, and the
end of a contract before its delivery (M-36 to M-38, A-14).

Each is a word signed by the account, which the market brings onto the chain. When its time has come the contract there
decides by the terms that both orders named; a word before its time, or the same again, changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from eth_utils.crypto import keccak

from keys import messages as m
from node.errors import Conflict, InvalidInput
from node.wire.desk import DeskContract

__all__ = ["Remedies"]

REMINDERS = 3


class Speaker(Protocol):
    """Whose remedies they are: the account, the operator of its market, and until when a word of now holds."""

    @property
    def account(self) -> bytes: ...

    @property
    def operator(self) -> bytes: ...

    @property
    def until(self) -> int: ...


Say = Callable[[m.Message, Sequence[bytes]], Awaitable[None]]


class Remedies:
    """Of one asset in one market. Each raises Conflict for the wrong partner of the contract."""

    def __init__(self, speaker: Speaker, say: Say) -> None:
        self._speaker = speaker
        self._say = say

    async def remind(self, contract: DeskContract, number: int) -> None:
        """The seller's reminder 1, 2 or 3, each no sooner than the agreed wait after what came before it."""
        if not 1 <= number <= REMINDERS:
            raise InvalidInput("There are three reminders: 1, 2 and 3.", field="number")
        await self._seller(contract, m.Remind, number)

    async def claim(self, contract: DeskContract) -> None:
        """The seller claims what three reminders did not bring. What the claim rests on is the contract as it is known
        here; its hash is signed."""
        text = json.dumps(contract.to_json(), sort_keys=True, separators=(",", ":"))
        await self._seller(contract, m.IssueClaim, bytes(keccak(text.encode())))

    async def cure(self, contract: DeskContract) -> None:
        """The buyer pays a claim, penalty included, out of the market's book."""
        await self._buyer(contract, m.Cure)

    async def dispute(self, contract: DeskContract, reason: str) -> None:
        """The buyer contests a claim, once, within the dispute window. The text stays here; its hash is signed."""
        await self._buyer(contract, m.Dispute, bytes(keccak(reason.encode())))

    async def cancel(self, contract: DeskContract) -> None:
        """Either partner ends a contract before its delivery begins, or within the start grace when nobody reported;
        the terms may ask a fee."""
        if self._speaker.account not in (contract.seller, contract.buyer):
            raise Conflict("This asset has no part in that contract.")
        speaker = self._speaker
        await self._say(m.Cancel(speaker.account, speaker.operator, contract.id, speaker.until), (b"\x01",))

    async def _seller(self, contract: DeskContract, kind: Callable[..., m.Message], *rest: object) -> None:
        if self._speaker.account != contract.seller:
            raise Conflict("Only the seller of a contract reminds and claims.")
        await self._word(contract, kind, *rest)

    async def _buyer(self, contract: DeskContract, kind: Callable[..., m.Message], *rest: object) -> None:
        if self._speaker.account != contract.buyer:
            raise Conflict("Only the buyer of a contract cures and contests a claim.")
        await self._word(contract, kind, *rest)

    async def _word(self, contract: DeskContract, kind: Callable[..., m.Message], *rest: object) -> None:
        speaker = self._speaker
        await self._say(kind(speaker.account, speaker.operator, contract.id, *rest, speaker.until), ())
