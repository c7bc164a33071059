"""Part 8: `wattpact verify` finds what was changed in an export or its log, wherever it was changed (channels.md 3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.commit import Header
from channels.envelope import EnvelopeHeader
from keys.stream_key import StreamKey
from node.app.commands.verify import verify_export
from node.cli.factories import VerifyOptions
from node.errors import InvalidInput
from node.types import to_hex
from tests.unit.app.commands.streamfile import REGISTRY, StreamFile, change, first_of, judged, story
from tests.unit.channels.world import TWO_KEYS, hashed

STORY = story().document()
SIGNED = story(signed=True).document()
ALL = {"registry", "headers", "events", "stream", "stream keys", "commits", "envelopes", "checkpoints"}
Edit = Callable[[dict[str, Any]], None]


def copy(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


def flip(place: int) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        data[place] ^= 1

    return edit


def cut(data: bytearray) -> None:
    del data[-1:]


def lengthen(data: bytearray) -> None:
    data.append(0)


def failures(folder: Path, document: dict[str, Any]) -> set[str]:
    return {name for name, finding in judged(folder, document).items() if not finding.ok}


def drop(kind: str, nth: int) -> Edit:
    return lambda document: document["log"].remove(first_of(document, kind, nth))


def swap(kind: str, one: int, other: int) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        first, second = first_of(document, kind, one), first_of(document, kind, other)
        first["data"], second["data"] = second["data"], first["data"]

    return edit


def touch(kind: str, nth: int, change_bytes: Callable[[bytearray], None]) -> Edit:
    return lambda document: change(first_of(document, kind, nth), "data", change_bytes)


def member(part: str, nth: int, name: str, edit: Callable[[bytearray], None]) -> Edit:
    return lambda document: change(document[part][nth], name, edit)


def number(part: str, nth: int, name: str, by: int) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        document[part][nth][name] += by

    return edit


@pytest.mark.parametrize("document", [STORY, SIGNED], ids=["chained", "signed"])
def test_an_untouched_export_is_well_and_says_what_it_counted(tmp_path: Path, document: dict[str, Any]) -> None:
    found = judged(tmp_path, document)
    assert set(found) == ALL
    assert all(finding.ok for finding in found.values()), found
    assert found["commits"].detail.startswith("3,")
    assert found["envelopes"].detail.startswith("14, 1 to 14")
    assert "12 envelopes final, 2 provisional" in found["checkpoints"].detail
    assert "epochs 1 to 3" in found["stream"].detail
    assert "in one linked run" in found["headers"].detail
    assert document["headers"][-1]["hash"] in found["headers"].detail


def test_the_story_has_what_the_attacks_need() -> None:
    """A slot split between two epochs, an empty slot, a reorganisation: else attacks on them would test nothing."""
    made = story()
    envelopes = [EnvelopeHeader.decode(data) for data in made.world.envelopes]
    assert {header.epoch for header in envelopes if header.slot == 1} == {1, 2}
    assert not [header for header in envelopes if header.slot == 2]
    assert len([event for event in STORY["events"] if event["event"] == "Committed"]) == 3
    assert len(made.history) == 6


def cut_end(document: dict[str, Any]) -> None:
    for _ in range(3):
        drop("envelope", -1)(document)


ATTACKS: dict[str, tuple[str, Edit]] = {
    "a block's hash": ("headers", member("headers", 3, "hash", flip(0))),
    "a block's parent": ("headers", member("headers", 3, "parent", flip(31))),
    "a block's number": ("headers", number("headers", 3, "number", 1)),
    "a block's time": ("headers", number("headers", 3, "timestamp", 1_000)),
    "a block left out": ("headers", lambda d: d["headers"].pop(3)),
    "two blocks exchanged": ("headers", lambda d: d["headers"].insert(2, d["headers"].pop(5))),
    "the first block called linked": ("headers", lambda d: d["headers"][0].update(linked=True)),
    "a link denied": ("headers", lambda d: d["headers"][4].update(linked=False)),
    "no headers": ("events", lambda d: d["headers"].clear()),
    "an event in another block": ("events", number("events", 1, "block_number", 1)),
    "an event's block hash": ("events", member("events", 2, "block_hash", flip(5))),
    "an event of another stream": ("events", member("events", 2, "sid", flip(5))),
    "two events exchanged": ("events", lambda d: d["events"].insert(1, d["events"].pop())),
    "no events": ("events", lambda d: d["events"].clear()),
    "another owner": ("stream", member("events", 0, "owner", flip(0))),
    "another name": ("stream", member("events", 0, "name_hash", flip(0))),
    "another registry": ("registry", lambda d: d.update(registry=to_hex(b"\x09" * 20))),
    "another registry, for the stream": ("stream", lambda d: d.update(registry=to_hex(b"\x09" * 20))),
    "another chain": ("commits", lambda d: d.update(chain_id=1)),
    "another stream": ("stream", lambda d: d.update(sid=to_hex(hashed("other")))),
    "no registration": ("stream", lambda d: d["events"].pop(0)),
    "registered twice": ("stream", lambda d: d["events"].insert(1, d["events"][0])),
    "an epoch left out": ("stream", lambda d: d["events"].pop(2)),
    "an epoch's number": ("stream", number("events", 2, "epoch", 1)),
    "another writer": ("commits", member("events", 0, "writer", flip(0))),
    "another commit hash": ("commits", member("events", 3, "commit_hash", flip(0))),
    "another stream key hash": ("stream keys", member("events", 0, "stream_key_hash", flip(0))),
    "another stream key": (
        "stream keys",
        lambda d: first_of(d, "stream_key").update(ed25519=to_hex(StreamKey.generate().public_bytes)),
    ),
    "no stream key": ("stream keys", lambda d: d["log"].remove(first_of(d, "stream_key"))),
    "a commit's signature": ("commits", touch("commit", 1, flip(-2))),
    "a commit's version": ("commits", touch("commit", 1, flip(1))),
    "a commit's stream": ("commits", touch("commit", 1, flip(5))),
    "a commit cut": ("commits", touch("commit", 1, cut)),
    "a commit lengthened": ("commits", touch("commit", 1, lengthen)),
    "a commit left out": ("commits", drop("commit", 1)),
    "the last commit left out": ("commits", drop("commit", 2)),
    "two commits exchanged": ("commits", swap("commit", 0, 1)),
    "a commit twice": ("commits", lambda d: d["log"].insert(2, first_of(d, "commit"))),
    "a commit that the chain does not have": ("commits", lambda d: d["events"].pop()),
    "an envelope's bytes": ("envelopes", touch("envelope", 2, flip(110))),
    "an envelope's epoch": ("envelopes", touch("envelope", 2, flip(41))),
    "an envelope's number": ("envelopes", touch("envelope", 2, flip(69))),
    "an envelope's link": ("envelopes", touch("envelope", 2, flip(80))),
    "an envelope cut": ("envelopes", touch("envelope", 2, cut)),
    "an envelope too short": ("envelopes", touch("envelope", 2, lambda data: data.__delitem__(slice(100, None)))),
    "an envelope left out": ("envelopes", drop("envelope", 5)),
    "two envelopes exchanged": ("envelopes", swap("envelope", 5, 6)),
    "an envelope twice": ("envelopes", lambda d: d["log"].insert(8, copy(first_of(d, "envelope", 4)))),
    "an end that was cut off": ("checkpoints", cut_end),
    "a checkpoint's signature": ("checkpoints", touch("checkpoint", 1, flip(-1))),
    "a checkpoint's count": ("checkpoints", touch("checkpoint", 1, flip(57))),
    "a checkpoint's hash": ("checkpoints", touch("checkpoint", 1, flip(60))),
    "a checkpoint cut": ("checkpoints", touch("checkpoint", 1, cut)),
    "a checkpoint of a future epoch": ("checkpoints", touch("checkpoint", 1, flip(38))),
    "a checkpoint left out": ("checkpoints", drop("checkpoint", 1)),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_tampering_is_found(tmp_path: Path, name: str) -> None:
    part, edit = ATTACKS[name]
    document = copy(STORY)
    edit(document)
    assert document != STORY
    found = judged(tmp_path, document)
    assert not found[part].ok, found
    assert found[part].remedy


def test_a_signed_envelope_that_was_changed_is_found_even_where_no_checkpoint_covers_it(tmp_path: Path) -> None:
    document = copy(SIGNED)
    touch("envelope", -1, flip(110))(document)
    assert failures(tmp_path, document) == {"envelopes"}


def test_second_signatures_are_verified(tmp_path: Path) -> None:
    """Suite 2: what a verifier accepts carries the ML-DSA-65 signature of the key that the chain names."""
    told = story(key=TWO_KEYS).document()
    assert failures(tmp_path, told) == set()
    attacks: dict[str, tuple[str, Edit]] = {
        "a commit's second signature": ("commits", touch("commit", 1, flip(-1))),
        "a checkpoint's second signature": ("checkpoints", touch("checkpoint", 1, flip(-1))),
        "the classical half handed out alone": (
            "stream keys",
            lambda d: first_of(d, "stream_key").update(ml_dsa="0x"),
        ),
    }
    for name, (part, edit) in attacks.items():
        document = copy(told)
        edit(document)
        assert part in failures(tmp_path, document), name


def test_the_newest_envelope_without_signature_is_only_called_provisional(tmp_path: Path) -> None:
    """Not promised, and said: nobody vouches for it yet."""
    document = copy(STORY)
    touch("envelope", -1, flip(110))(document)
    found = judged(tmp_path, document)
    assert all(finding.ok for finding in found.values())
    assert "2 provisional" in found["checkpoints"].detail


@given(st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_bit_of_the_covered_log_is_found(tmp_path: Path, data: st.DataObject) -> None:
    document = copy(STORY)
    entries = [entry for entry in document["log"] if entry["kind"] != "stream_key"][:-9]
    entry = data.draw(st.sampled_from(entries))
    bit = data.draw(st.integers(0, 8 * (len(entry["data"]) // 2 - 1) - 1))

    def edit(content: bytearray) -> None:
        content[bit // 8] ^= 1 << bit % 8

    change(entry, "data", edit)
    assert failures(tmp_path, document), (entry["kind"], bit)


def test_an_envelope_sealed_after_its_epoch_was_over_is_found(tmp_path: Path) -> None:
    """permissions: after a revocation nothing is sealed under the old epoch. The writer itself breaks the rule here."""
    made = StreamFile.start()
    made.commit(0, joins=2)
    made.seal(0, 1)
    world = made.world
    prepared = world.prepare(1, removed=(1,))
    rogue = StreamFile.start()
    rogue.commit(0, joins=2)
    assert rogue.world.commits == world.commits
    rogue.seal(0, 1)
    rogue.seal(5, 1)
    world.envelopes = rogue.world.envelopes
    assert prepared.epoch == 2
    made.commit(1, removed=(1,))
    assert failures(tmp_path, made.document()) >= {"envelopes"}


def test_checkpoints_of_a_key_that_the_chain_does_not_name_are_found(tmp_path: Path) -> None:
    """A member knows the stream's secrets and can write envelopes, but not sign for them."""
    document, member_key = copy(STORY), StreamKey.generate()
    for entry in document["log"]:
        if entry["kind"] == "checkpoint":
            body = bytes.fromhex(entry["data"][2:])[:-64]
            entry["data"] = to_hex(body + member_key.sign(b"ckt1 checkpoint\x00" + body))
    assert failures(tmp_path, document) == {"checkpoints"}
    first_of(document, "stream_key")["ed25519"] = to_hex(member_key.public_bytes)
    assert "stream keys" in failures(tmp_path, document)


def test_the_registry_is_pinned(tmp_path: Path) -> None:
    assert judged(tmp_path, STORY, to_hex(REGISTRY))["registry"].ok
    assert not judged(tmp_path, STORY, to_hex(b"\x01" * 20))["registry"].ok
    unpinned = judged(tmp_path, STORY, None)["registry"]
    assert unpinned.ok
    assert "--registry" in unpinned.detail
    with pytest.raises(InvalidInput):
        judged(tmp_path, STORY, "0x12")


def test_the_log_may_be_a_file_of_its_own(tmp_path: Path) -> None:
    document = copy(STORY)
    log = document.pop("log")
    assert "commits" in failures(tmp_path, document)
    assert all(finding.ok for finding in judged(tmp_path, document, log=log).values())
    assert all(finding.ok for finding in judged(tmp_path, document, log={"log": log}).values())
    other = copy(STORY)
    drop("commit", 1)(other)
    assert not judged(tmp_path, STORY, log=other["log"])["commits"].ok


def test_the_newest_part_of_a_log_is_enough(tmp_path: Path) -> None:
    """Retention takes old envelopes away; checkpoints over them are no fault."""
    document = copy(STORY)
    for _ in range(4):
        drop("envelope", 0)(document)
    found = judged(tmp_path, document)
    assert all(finding.ok for finding in found.values()), found
    assert found["envelopes"].detail.startswith("10, 5 to 14")


def test_a_log_may_begin_where_a_reader_joined(tmp_path: Path) -> None:
    """The chain vouches for the commit before; an envelope of an epoch whose commit is missing is found."""
    document = copy(STORY)
    drop("commit", 0)(document)
    assert failures(tmp_path, document) == {"envelopes"}
    while EnvelopeHeader.decode(bytes.fromhex(first_of(document, "envelope")["data"][2:])).epoch == 1:
        drop("envelope", 0)(document)
    found = judged(tmp_path, document)
    assert all(finding.ok for finding in found.values()), found
    assert "epochs 2 to 3" in found["commits"].detail
    member("events", 1, "commit_hash", flip(0))(document)
    assert failures(tmp_path, document) == {"commits"}


def test_a_run_of_the_chain_may_be_left_out_and_is_told(tmp_path: Path) -> None:
    document = copy(STORY)
    del document["headers"][2:5]
    document["headers"][2]["linked"] = False
    found = judged(tmp_path, document)
    assert found["headers"].ok
    assert "2 linked runs" in found["headers"].detail


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "a list": lambda d: [],
    "an unknown member": lambda d: {**d, "more": 1},
    "another version": lambda d: {**d, "version": 2},
    "a short hash": lambda d: d["headers"][0].update(hash="0x12"),
    "a number as text": lambda d: d["headers"][0].update(number="12"),
    "a true number": lambda d: d["headers"][0].update(number=True),
    "a negative number": lambda d: d["headers"][0].update(number=-1),
    "a missing member": lambda d: d["events"][0].pop("genesis"),
    "an unknown field": lambda d: d["events"][0].update(more=1),
    "an unknown event": lambda d: d["events"][0].update(event="Granted"),
    "an event without name": lambda d: d["events"][0].update(event=["x"]),
    "an unknown kind": lambda d: d["log"][0].update(kind="capsule"),
    "no hex": lambda d: first_of(d, "commit").update(data="xy"),
    "no text": lambda d: first_of(d, "commit").update(data=5),
    "no chain": lambda d: d.update(chain_id=0),
    "an impossible chain": lambda d: d.update(chain_id=2**70),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_export_is_refused_with_the_place(tmp_path: Path, name: str) -> None:
    document = copy(STORY)
    changed = BROKEN[name](document)
    with pytest.raises(InvalidInput) as caught:
        judged(tmp_path, changed if name in ("a list", "an unknown member", "another version") else document)
    assert caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff"])
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "export.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InvalidInput):
        verify_export(VerifyOptions(path))


def test_numbers_from_the_file_cost_no_time(tmp_path: Path) -> None:
    """A checkpoint over four billion envelopes, between two that are far apart."""
    document = copy(STORY)
    touch("envelope", 13, lambda data: data.__setitem__(slice(62, 70), (2**63).to_bytes(8, "big")))(document)
    touch("checkpoint", 0, lambda data: data.__setitem__(slice(54, 58), b"\xff\xff\xff\xff"))(document)
    assert failures(tmp_path, document) >= {"envelopes", "checkpoints"}


def test_the_offsets_that_the_attacks_use() -> None:
    commit = bytes.fromhex(first_of(STORY, "commit")["data"][2:])
    assert Header.decode(commit).epoch == int.from_bytes(commit[34:42], "big") == 1
    envelope = bytes.fromhex(first_of(STORY, "envelope", 2)["data"][2:])
    assert EnvelopeHeader.decode(envelope).seq == int.from_bytes(envelope[62:70], "big") == 3
