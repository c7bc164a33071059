"""M-85. What an asset says travels together, is said once, and one word at fault holds up none beside it."""

from __future__ import annotations

from typing import Any

import pytest

from keys import messages as m
from keys.signers import LocalSigner
from node.client.errors import MarketRefused
from node.client.voice import VALID_S, Voice, Word
from node.clock import ManualClock
from node.errors import NodeUnreachable, Refused
from node.wire.settlement import MOST_WORDS, SignedMessage

SIGNER, OPERATOR = LocalSigner(b"\x31" * 32), b"\x0f" * 20
DOMAIN = m.market_domain(31337, b"\x0e" * 20)


def contract(number: int) -> bytes:
    return number.to_bytes(32, "big")


def word(number: int) -> Word:
    key = contract(number)
    return Word("report 00", (key,), m.Provision(SIGNER.address, OPERATOR, key, number, 9_999), (b"\x00",))


class Market:
    """Where the parcels arrive: it refuses one with a word about any of `bad`, and does not know `unknown` kinds."""

    def __init__(self, *bad: int, unknown: str = "", silent_after: int = 99) -> None:
        self.parcels: list[tuple[str, list[int]]] = []
        self._bad, self._unknown, self._silent_after = set(bad), unknown, silent_after
        self.clock = ManualClock(1_000)
        self.voice = Voice(SIGNER, DOMAIN, self.clock, self.take)

    async def take(self, kind: str, body: dict[str, Any]) -> None:
        words = body["words"] if kind == "market.words" else [body]
        for each in words:
            signed = SignedMessage.model_validate(each)
            message, domain = m.from_typed_data(signed.typed)
            m.verify(message, domain, signed.signatures[0], SIGNER.address)
        said = [int(each["typed"]["message"]["contractId"], 16) for each in words]
        if kind == self._unknown:
            raise MarketRefused("https://market.example", 404, "not_found", "This node takes no such parcel.")
        if len(self.parcels) >= self._silent_after:
            raise NodeUnreachable("https://market.example cannot be reached.")
        if self._bad & set(said):
            raise Refused(f"no {sorted(self._bad & set(said))}")
        self.parcels.append((kind, said))


async def test_many_words_make_few_parcels_each_signed_by_itself() -> None:
    market = Market()
    await market.voice.say_once(word(each) for each in range(40))
    assert [(kind, len(said)) for kind, said in market.parcels] == [
        ("market.words", MOST_WORDS), ("market.words", MOST_WORDS), ("market.words", 8),
    ]  # fmt: skip
    assert [each for _, said in market.parcels for each in said] == list(range(40))


async def test_one_word_is_a_parcel_as_ever() -> None:
    market = Market()
    await market.voice.say_once([word(7)])
    assert market.parcels == [("market.word", [7])]


async def test_what_may_be_on_its_way_is_not_said_again() -> None:
    market = Market()
    await market.voice.say_once([word(1), word(2)])
    await market.voice.say_once([word(1), word(2), word(3)])
    assert market.parcels == [("market.words", [1, 2]), ("market.word", [3])]
    market.clock.advance(VALID_S + 1)
    await market.voice.say_once([word(1)])
    assert market.parcels[-1] == ("market.word", [1])


async def test_a_word_at_fault_holds_up_none_beside_it() -> None:
    market = Market(5, 21)
    with pytest.raises(Refused, match=r"no \[5\]"):
        await market.voice.say_once(word(each) for each in range(20))
    assert sorted(each for _, said in market.parcels for each in said) == [each for each in range(20) if each != 5]
    assert not market.voice.on_its_way("report 00", contract(5)), "it may be said again"
    with pytest.raises(Refused):
        await market.voice.say_once([word(5), word(4)])
    assert sum(4 in said for _, said in market.parcels) == 1


async def test_a_market_that_knows_no_such_parcels_gets_one_for_each_word() -> None:
    market = Market(unknown="market.words")
    await market.voice.say_once([word(1), word(2)])
    assert market.parcels == [("market.word", [1]), ("market.word", [2])]


async def test_what_did_not_arrive_is_said_again() -> None:
    """A market that cannot be reached is no reason to say word by word what could not be said at once."""
    market = Market(silent_after=1)
    with pytest.raises(NodeUnreachable):
        await market.voice.say_once(word(each) for each in range(20))
    assert [len(said) for _, said in market.parcels] == [MOST_WORDS]
    market._silent_after = 99
    await market.voice.say_once(word(each) for each in range(20))
    assert [said for _, said in market.parcels[1:]] == [[16, 17, 18, 19]]
