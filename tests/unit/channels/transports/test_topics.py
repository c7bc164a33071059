"""Topic names (channels.md 7): one spelling only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.errors import TransportError
from channels.transports.topics import KEYED, Kind, Topic

SID, GRANT = bytes(range(32)), b"\xab" * 32


def topics() -> list[Topic]:
    return [Topic(kind, SID, GRANT if kind in KEYED else b"") for kind in Kind]


@pytest.mark.parametrize("topic", topics(), ids=lambda topic: topic.kind)
def test_a_name_gives_its_topic_back(topic: Topic) -> None:
    assert Topic.parse(topic.name) == topic


def test_the_names_are_those_of_the_specification() -> None:
    assert Topic(Kind.DATA, SID).name == f"wattpact/v1/{SID.hex()}/data"
    assert Topic(Kind.CAPSULE, SID, GRANT).name == f"wattpact/v1/{SID.hex()}/capsule/{GRANT.hex()}"


@pytest.mark.parametrize("topic", topics(), ids=lambda topic: topic.kind)
def test_no_second_spelling_is_read(topic: Topic) -> None:
    name = topic.name
    for bad in (name + "/", "/" + name, name.upper(), name + "\n", name.replace("v1", "v2"), name[:-1], name + "0"):
        with pytest.raises(TransportError):
            Topic.parse(bad)
    with pytest.raises(TransportError):
        Topic(topic.kind, SID[:31], topic.key)
    with pytest.raises(TransportError):
        Topic(topic.kind, SID, b"" if topic.key else GRANT)


@given(st.text(max_size=200))
def test_noise_is_no_topic(name: str) -> None:
    with pytest.raises(TransportError):
        Topic.parse(name)
