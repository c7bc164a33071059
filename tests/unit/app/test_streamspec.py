"""Which stream key a gateway writes with, and which one a reader believes: always the one that the chain names."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keys.identity import Identity
from keys.keystore import Keystore
from keys.stream_key import STREAM_PUBLIC_SIZES, StreamKey
from node.app.core import Core
from node.app.streams.masterkeys import MasterKeys
from node.app.streams.streamspec import as_registered, check_stream_key, stream_spec
from node.config.settings import StreamsSettings
from node.errors import NeedsPerson, Refused
from node.projection.device import Device
from node.wire.streams import StreamOffer, StreamTake
from tests.unit.channels.world import DOMAIN, GENESIS
from tests.unit.keys.builders import CHEAP, PHRASE


def core(post_quantum: bool, phrase: str = PHRASE) -> Core:
    """The three things that a spec is made from."""
    found: Any = SimpleNamespace(
        keys=SimpleNamespace(identity=Identity.from_mnemonic(phrase)),
        settings=SimpleNamespace(node=SimpleNamespace(), streams=StreamsSettings(post_quantum_signatures=post_quantum)),
        chain=SimpleNamespace(domain=DOMAIN),
    )
    return cast(Core, found)


PAIRING = cast(Device, SimpleNamespace(owner=b"\x0a" * 20, device_hash=b"\x0b" * 32))


def test_one_switch_gives_new_streams_a_second_key() -> None:
    plain, both = (stream_spec(core(switch), "electricity/1s", PAIRING, GENESIS) for switch in (False, True))
    assert plain.sid == both.sid
    assert plain.writer.address == both.writer.address
    assert (len(plain.params.stream_public), len(both.params.stream_public)) == STREAM_PUBLIC_SIZES
    assert both.params.ed25519_public == plain.params.stream_public
    assert both.register(1, GENESIS).stream_key_hash == both.stream_key.key_hash()
    assert both.register(1, GENESIS).stream_key_hash != plain.register(1, GENESIS).stream_key_hash


@pytest.mark.parametrize("registered_with", [False, True])
@pytest.mark.parametrize("setting_now", [False, True])
def test_a_registered_stream_keeps_its_signatures(registered_with: bool, setting_now: bool) -> None:
    """Its readers go by the chain: the setting is for streams that are registered from now on."""
    registered = stream_spec(core(registered_with), "electricity/1s", PAIRING, GENESIS)
    now = core(setting_now)
    spec = as_registered(now, stream_spec(now, "electricity/1s", PAIRING, GENESIS), registered.stream_key.key_hash())
    assert spec.params == registered.params
    assert spec.stream_key.public_bytes == registered.params.stream_public


def test_a_key_that_is_not_ours_needs_a_person() -> None:
    now = core(True)
    with pytest.raises(NeedsPerson, match="another stream key"):
        as_registered(now, stream_spec(now, "gas/1h", PAIRING, GENESIS), bytes(32))


def test_a_reader_believes_only_the_key_that_the_chain_names() -> None:
    """Half of a key of suite 2 is another key: handing on the classical half alone is a downgrade, and refused."""
    both = StreamKey(bytes(64))
    check_stream_key(both.public_bytes, [both.key_hash()])
    for public in (both.public_bytes[:32], StreamKey(bytes(32)).public_bytes, StreamKey.generate().public_bytes, b""):
        with pytest.raises(Refused):
            check_stream_key(public, [both.key_hash()])
    with pytest.raises(Refused):
        check_stream_key(both.public_bytes, [])


def test_an_offer_carries_both_keys() -> None:
    spec = stream_spec(core(True), "electricity/1s", PAIRING, GENESIS)
    message = spec.register(1, GENESIS)
    offer = StreamOffer(
        category="electricity/1s",
        salt=spec.salt,
        writer=message.writer,
        stream_key=spec.stream_key.public_bytes,
        stream_key_hash=message.stream_key_hash,
        genesis=message.genesis,
        slot_seconds=message.slot_seconds,
        nonce=str(message.nonce),
        deadline=message.deadline,
        writer_signature=bytes(65),
    )
    again = StreamOffer.model_validate(offer.to_json())
    assert again.stream_key == spec.params.stream_public
    for wrong in (again.stream_key[:-1], again.stream_key[:33]):
        with pytest.raises(ValueError, match="32 or 1984 bytes"):
            StreamOffer.model_validate(offer.to_json() | {"stream_key": "0x" + wrong.hex()})


def test_every_time_of_writing_has_keys_and_masters_of_its_own(tmp_path: Path) -> None:
    """channels.md 4, rule 10: a rotation, another gateway, and the first one again never share M, T or a key."""
    at = core(False)
    at.keys.keystore = Keystore.create(tmp_path / "keys", "x", CHEAP)  # type: ignore[misc]
    at.settings.node.data_dir = tmp_path
    first = stream_spec(at, "electricity/1s", PAIRING, GENESIS)
    take = StreamTake(
        sid=first.sid,
        category="electricity/1s",
        salt=first.salt,
        genesis=GENESIS,
        slot_seconds=first.params.slot_seconds,
        owner_key=bytes(1216),
    )
    again = cast(Device, SimpleNamespace(owner=b"\x0a" * 20, device_hash=b"\x0c" * 32))
    specs = [
        first,
        stream_spec(at, "electricity/1s", PAIRING, GENESIS, take.model_copy(update={"generation": 1})),
        stream_spec(at, "electricity/1s", PAIRING, GENESIS, take.model_copy(update={"generation": 2})),
        stream_spec(at, "electricity/1s", again, GENESIS, take),
    ]
    assert {spec.sid for spec in specs} == {first.sid}
    assert len({spec.writer.address for spec in specs}) == len({spec.params.stream_public for spec in specs}) == 4
    masters = [MasterKeys(at, spec).load(bytes([n]) * 64) for n, spec in enumerate(specs)]
    assert len({found.tree for found in masters}) == len({found.epochs for found in masters}) == 4
    assert [MasterKeys(at, spec).load(bytes(64)) for spec in specs] == masters
    own = stream_spec(at, "electricity/1s", PAIRING, GENESIS, take)
    assert (own.writer.address, own.taken) == (first.writer.address, False), "asked for what it began, it goes on"
    # Rule 11: an exchange leaves one entry of the stream and one snapshot, which only the new T opens.
    keys = MasterKeys(at, specs[1])
    for number in (1, 2):
        left = masters[1].erased(number, bytes([90 + number]) * 32)
        for _ in ("once", "and again after a crash"):
            keys.exchange(left, b"the tree of %d" % number)
        assert keys.entries() == (f"masters-{first.sid.hex()}-{specs[1].writer.address.hex()}.{number}",)
        assert [path.name for path in (tmp_path / "trees").iterdir()] == [f"{keys.entries()[0]}.sealed"]
        assert keys.load(b"") == left
        assert keys.snapshot() == b"the tree of %d" % number
    [path] = (tmp_path / "trees").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(NeedsPerson, match="cannot be opened"):
        keys.snapshot()
