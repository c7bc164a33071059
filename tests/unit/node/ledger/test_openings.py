"""What stands beside a message: bytes or a message, in whichever form they come; a wrong kind is the caller's fault."""

from __future__ import annotations

import dataclasses

import pytest

from keys import messages as m
from node.ledger.errors import MessageMalformed
from node.ledger.market import market_call, opened
from node.ledger.netting import net_call
from node.ledger.registry import registry_call
from tests.unit.keys.builders import MESSAGES

BY_KIND = {type(message): message for message in MESSAGES}
MARKET = bytes(range(20))
DOMAIN = m.market_domain(31337, MARKET)
SIGNED = b"\x01" * 65


@pytest.mark.parametrize(
    ("message", "shown", "signatures"),
    [
        (m.Match, (BY_KIND[m.Offer], BY_KIND[m.Request]), 3),
        (m.Deposit, (BY_KIND[m.Permit], SIGNED), 1),
    ],
)
def test_a_message_and_its_document_make_the_same_call(
    message: type[m.Message], shown: tuple[m.Opening, ...], signatures: int
) -> None:
    documents = [part if isinstance(part, bytes) else opened(part, DOMAIN) for part in shown]
    calls = [market_call(MARKET, BY_KIND[message], [SIGNED] * signatures, opening) for opening in (shown, documents)]
    assert calls[0] == calls[1]


@pytest.mark.parametrize(
    ("message", "opening"),
    [
        (m.Match, (BY_KIND[m.Request], BY_KIND[m.Offer])),
        (m.Match, (BY_KIND[m.Offer], b"{")),
        (m.Match, (BY_KIND[m.Offer], b"[" * 100_000)),
        (m.Match, (BY_KIND[m.Offer], opened(BY_KIND[m.Permit], DOMAIN))),
        (m.Cancel, (BY_KIND[m.Offer],)),
        (m.Deposit, (b"", SIGNED)),
        (m.Deposit, (BY_KIND[m.Permit], BY_KIND[m.Permit])),
        (m.Deposit, (BY_KIND[m.Permit], SIGNED[1:])),
    ],
)
def test_what_does_not_belong_there_is_refused(message: type[m.Message], opening: tuple[m.Opening, ...]) -> None:
    with pytest.raises(MessageMalformed):
        market_call(MARKET, BY_KIND[message], [SIGNED] * (3 if message is m.Match else 1), opening)


def test_bytes_are_wanted_where_the_contract_takes_bytes() -> None:
    permit = BY_KIND[m.Permit]
    with pytest.raises(MessageMalformed):
        net_call(MARKET, BY_KIND[m.NetBatch], [SIGNED], (b"", permit))
    with pytest.raises(MessageMalformed):
        registry_call(MARKET, BY_KIND[m.PairDevice], [SIGNED] * 2, (permit, bytes(32)))
    assert dataclasses.is_dataclass(registry_call(MARKET, BY_KIND[m.PairDevice], [SIGNED] * 2, (bytes(20), bytes(32))))
