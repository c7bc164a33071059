"""What an asset says to its market: messages that it signed, sealed, as many in one parcel as there are to say.

Sealing costs both sides more than signing, and an asset that was away, or whose quarter hours end together, has many
contracts to report at once. Each word stays a message of its own, signed by itself and judged by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from keys import messages as m
from keys.eip712 import Domain
from keys.signers import Signer
from node.clock import Clock
from node.errors import CallerError
from node.wire.settlement import MOST_WORDS, SignedMessage, SignedMessages

__all__ = ["VALID_S", "Voice", "Word"]

VALID_S: Final = 3_600
"""How long a word may be on its way to the chain; for that time it is not said again."""

Send = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Brings a body of a kind to the market. Raises CallerError where the market refuses it."""


class Word(NamedTuple):
    """A message about contracts, said of each once for each `kind`; `opening`: what its function takes besides."""

    kind: str
    contracts: tuple[bytes, ...]
    message: m.Message
    opening: tuple[bytes, ...] = ()


class Voice:
    """Of one asset in one market, whose contract on chain has `domain`."""

    def __init__(self, signer: Signer, domain: Domain, clock: Clock, send: Send) -> None:
        self._signer = signer
        self._domain = domain
        self._clock = clock
        self._send = send
        self._said: dict[tuple[str, bytes], int] = {}

    def on_its_way(self, kind: str, contract: bytes) -> bool:
        """Whether it was said of the contract, and may still be on its way."""
        return self._said.get((kind, contract), 0) >= self._clock.now()

    def note(self, kind: str, contracts: Iterable[bytes]) -> None:
        """It was said just now."""
        until = self._clock.now() + VALID_S
        self._said.update({(kind, each): until for each in contracts})

    async def say(
        self,
        message: m.Message,
        opening: Sequence[bytes] = (),
        *,
        kind: str = "market.word",
        domain: Domain | None = None,
    ) -> None:
        """One message, by itself."""
        body = await self._signed(message, opening, domain or self._domain)
        await self._send(kind, body.to_json())

    async def say_once(self, words: Iterable[Word]) -> None:
        """Those that are not on their way already, many in a parcel.

        A parcel is taken as a whole or not at all. Of one that is refused each word is said by itself, so that one at
        fault holds up none beside it; what the first of those was refused for is raised once all were said.
        """
        fresh = (word for word in words if not any(self.on_its_way(word.kind, each) for each in word.contracts))
        refused: list[CallerError] = []
        while some := tuple(islice(fresh, MOST_WORDS)):
            bodies = [await self._signed(word.message, word.opening, self._domain) for word in some]
            refused += await self._said_together(some, bodies)
        if refused:
            raise refused[0]

    async def _said_together(self, words: Sequence[Word], bodies: Sequence[SignedMessage]) -> list[CallerError]:
        """What was refused of them."""
        if len(words) > 1:
            try:
                await self._send("market.words", SignedMessages(words=tuple(bodies)).to_json())
            except CallerError:
                return [each for pair in zip(words, bodies, strict=True) for each in await self._said_alone(*pair)]
            for word in words:
                self.note(word.kind, word.contracts)
            return []
        return await self._said_alone(words[0], bodies[0])

    async def _said_alone(self, word: Word, body: SignedMessage) -> list[CallerError]:
        try:
            await self._send("market.word", body.to_json())
        except CallerError as error:
            return [error]
        self.note(word.kind, word.contracts)
        return []

    async def _signed(self, message: m.Message, opening: Sequence[bytes], domain: Domain) -> SignedMessage:
        signature = await self._signer.sign_message(message, domain)
        return SignedMessage(typed=m.typed_data(message, domain), signatures=(signature,), opening=tuple(opening))
