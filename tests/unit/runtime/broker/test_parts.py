"""Patterns, passwords, users and the first packet: the pure parts of the broker."""

from __future__ import annotations

import base64
import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.runtime.broker.connect import BadConnect, Connect, parse_connect
from node.runtime.broker.errors import BrokerSettingsError
from node.runtime.broker.outbox import Outbox, Outgoing
from node.runtime.broker.passwords import check_hash, hash_for_mosquitto, hash_password, matches_hash
from node.runtime.broker.patterns import check_pattern, covers, matches
from node.runtime.broker.settings import BrokerUser
from node.runtime.broker.users import UserTable
from tests.unit.runtime.broker.raw_mqtt import connect_packet

HASH = hash_for_mosquitto("x")
LEVELS = ("a", "b", "+", "#")


def filters(depth: int) -> list[str]:
    found = []
    for size in range(1, depth + 1):
        for levels in itertools.product(LEVELS, repeat=size):
            if "#" not in levels[:-1]:
                found.append("/".join(levels))
    return found


def test_a_pattern_covers_a_filter_exactly_when_it_matches_all_its_topics() -> None:
    """By enumeration: every filter of up to three levels against every topic of up to four."""
    topics = ["/".join(t) for size in range(1, 5) for t in itertools.product("abc", repeat=size)]
    reach = {f: {topic for topic in topics if matches(f, topic)} for f in filters(3)}
    for pattern, wanted in itertools.product(reach, reach):
        if covers(pattern, wanted):
            assert reach[wanted] <= reach[pattern], (pattern, wanted)
        elif reach[wanted] <= reach[pattern]:
            # `a/#` also matches `a` itself, so `#` below it is the only case in which covering is stricter.
            assert wanted.endswith("#"), (pattern, wanted)


@pytest.mark.parametrize("kind", ["card", "meet"])
def test_cards_and_meetings_are_found_by_their_names_only(kind: str) -> None:
    """Attack: with the rules of every node, or wider ones, somebody asks for all cards and so lists all households."""
    name = f"wattpact/v1/{'ab' * 32}/{kind}"
    for rule in (f"wattpact/v1/+/{kind}", "wattpact/v1/+/+", "wattpact/v1/#", "wattpact/#", "+/+/+/+", "#"):
        assert covers(rule, name)
        for wanted in (f"wattpact/v1/+/{kind}", f"+/v1/{'ab' * 32}/{kind}", f"+/+/+/{kind}"):
            assert not covers(rule, wanted), (rule, wanted)
    for wanted in ("#", "wattpact/#", "+/+/+/+", f"wattpact/v1/{'ab' * 32}/+", f"{name}/#", f"wattpact/v1/+/{kind}"):
        assert not matches(wanted, name), wanted
    assert matches(name, name)
    assert covers("wattpact/v1/#", "wattpact/v1/#"), "an operator still hears everything else"


def test_dollar_topics_are_never_covered() -> None:
    for wanted in ("$SYS/x", "$share/g/a", "$SYS/#"):
        assert not covers("#", wanted)
        assert not matches("#", wanted)
        assert not matches("+/x", wanted)


@pytest.mark.parametrize("bad", ["", "a b", "a/#/b", "a+", "a/b#", "$SYS/#", "a\nuser root", "a\x00", "x" * 600])
def test_what_is_no_pattern_is_refused(bad: str) -> None:
    with pytest.raises(BrokerSettingsError):
        check_pattern(bad)
    with pytest.raises(BrokerSettingsError):
        BrokerUser("name", HASH, (bad,))


@pytest.mark.parametrize("bad", ["", "a:b", "a b", "a/b", "a\n", "ä", "x" * 65, "#"])
def test_what_is_no_name_is_refused(bad: str) -> None:
    with pytest.raises(BrokerSettingsError):
        BrokerUser(bad, HASH)


def scrypt_hash(password: str) -> str:
    salt = b"0123456789abcdef"
    digest = hashlib.scrypt(password.encode(), salt=salt, n=2**10, r=8, p=1, dklen=32)
    return f"$scrypt$10$8$1${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


@pytest.mark.parametrize("make", [hash_password, hash_for_mosquitto, scrypt_hash])
def test_passwords_match_their_hash_and_no_other(make: object) -> None:
    assert callable(make)
    hashed = make("correct horse")
    check_hash(hashed)
    assert matches_hash(hashed, "correct horse")
    for wrong in ("", "correct", "correct horse ", "Correct horse"):
        assert not matches_hash(hashed, wrong)
    assert "correct" not in hashed


def test_two_hashes_of_one_password_differ() -> None:
    assert hash_password("x") != hash_password("x")
    assert hash_for_mosquitto("x") != hash_for_mosquitto("x")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "plain text",
        "$6$101$abc$def",
        "$7$0$" + HASH.split("$", 3)[3],
        "$7$99999999$" + HASH.split("$", 3)[3],
        "$7$x$" + HASH.split("$", 3)[3],
        HASH + "$",
        "$7$101$!!$??",
        "$7$101$AAAA$AAAA",
        "$argon2id$nonsense",
        "$scrypt$30$8$1$AAAA$" + "A" * 44,
    ],
)
def test_a_hash_of_no_known_kind_is_found_at_start(bad: str) -> None:
    with pytest.raises(BrokerSettingsError):
        UserTable([BrokerUser("name", bad)])


def test_a_table_tells_whose_connections_end() -> None:
    a, b, c = (BrokerUser(name, HASH, ("t",)) for name in "abc")
    table = UserTable([a, b])
    other = BrokerUser("b", hash_for_mosquitto("y"), ("t",))
    assert table.replace([a, other, c]) == {"b"}
    assert table.replace([BrokerUser("a", HASH, ("u",)), c]) == {"b"}
    assert table.may_publish("a", "u")
    assert not table.may_publish("a", "t")
    assert not table.may_subscribe("a", "u")
    assert not table.may_publish(None, "u")
    assert not table.may_publish("gone", "u")
    with pytest.raises(BrokerSettingsError):
        table.replace([a, a])
    assert table.get("c") == c, "a refused table changes nothing"


def test_a_good_connect_is_read() -> None:
    body = connect_packet("name", "pässword", "name:1")[2:]
    assert parse_connect(body) == Connect("name:1", "name", "pässword", 30, clean=False)
    assert "pässword" not in repr(parse_connect(body))


@given(st.binary(max_size=200))
def test_noise_is_no_connect(data: bytes) -> None:
    assert isinstance(parse_connect(data), BadConnect)


def test_no_byte_of_a_connect_can_be_left_out_or_added() -> None:
    body = connect_packet("name", "word", "name")[2:]
    for size in range(len(body)):
        assert isinstance(parse_connect(body[:size]), BadConnect)
    assert isinstance(parse_connect(body + b"\x00"), BadConnect)


async def test_an_outbox_sends_in_order_and_again_what_was_not_acknowledged() -> None:
    outbox = Outbox(4, 2)
    for i in range(6):
        outbox.offer(Outgoing("t", b"%d" % i, 1, retained=False))
    assert outbox.dropped == 2
    first, second = await outbox.next(), await outbox.next()
    assert (first[1].payload, second[1].payload) == (b"0", b"1")
    outbox.acknowledged(second[0])
    outbox.acknowledged(999)
    assert (await outbox.next())[1].payload == b"2"
    outbox.connection_ended()
    assert [m.payload for m in outbox.messages()] == [b"0", b"2", b"3"]
    assert (await outbox.next())[1].payload == b"0"
