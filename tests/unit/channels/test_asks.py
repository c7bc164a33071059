"""Requests from readers to the writer (channels.md 4 rule 8, and 7)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.asks import DAILY_RESYNCS, MAX_RANGE, VALID_SECONDS, Ask, AskKind, AskLimiter
from channels.errors import FormatError, SignatureRejected, UsageError
from keys.messages import parcel_domain, registry_domain
from keys.sealing import PUBLIC_SIZE
from keys.signers import LocalSigner

NOW = 1_800_000_000
SID, GRANT = b"\x01" * 32, b"\x0a" * 32
DOMAIN = parcel_domain(31337)
READER, OTHER = LocalSigner(b"\x21" * 32), LocalSigner(b"\x22" * 32)
PUBLIC = b"\x33" * PUBLIC_SIZE


def ask(kind: AskKind = AskKind.ENVELOPES, number: int = 1, at: int = NOW) -> Ask:
    first, last = {AskKind.ENVELOPES: (5, 9), AskKind.COMMITS: (2, 2)}.get(kind, (7, 0))
    public = PUBLIC if kind is AskKind.RESYNC else b""
    return Ask(kind, SID, GRANT, number.to_bytes(32, "big"), at, first, last, public)


async def signed(request: Ask, signer: LocalSigner = READER) -> bytes:
    return request.encode(await signer.sign_message(request.statement(signer.address), DOMAIN))


def read_and_check(data: bytes) -> Ask:
    found, signature = Ask.decode(data)
    found.check(DOMAIN, READER.address, signature, NOW)
    return found


@pytest.mark.parametrize("kind", list(AskKind))
async def test_a_request_travels_and_is_checked(kind: AskKind) -> None:
    request = ask(kind)
    assert read_and_check(await signed(request)) == request


async def test_only_the_readers_own_signature_counts() -> None:
    request = ask()
    found, signature = Ask.decode(await signed(request, OTHER))
    with pytest.raises(SignatureRejected):
        found.check(DOMAIN, READER.address, signature, NOW)
    _, signature = Ask.decode(await signed(request))
    for domain in (parcel_domain(1), registry_domain(31337, bytes(20))):
        with pytest.raises(SignatureRejected):
            found.check(domain, READER.address, signature, NOW)


@pytest.mark.parametrize("change", ["kind", "sid", "grant_id", "request_id", "signed_at", "first", "last"])
async def test_no_field_can_be_changed_under_a_signature(change: str) -> None:
    request = ask()
    _, signature = Ask.decode(await signed(request))
    other = {
        "kind": AskKind.COMMITS,
        "sid": b"\x02" * 32,
        "grant_id": b"\x0b" * 32,
        "request_id": b"\x0c" * 32,
        "signed_at": NOW + 1,
        "first": 6,
        "last": 10,
    }
    with pytest.raises(SignatureRejected):
        replace(request, **{change: other[change]}).check(DOMAIN, READER.address, signature, NOW)  # type: ignore[arg-type]


async def test_every_flipped_bit_is_refused() -> None:
    data = await signed(ask())
    for at in range(len(data)):
        for bit in (1, 128):
            forged = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            with pytest.raises((FormatError, SignatureRejected)):
                read_and_check(forged)


@pytest.mark.parametrize(("after", "valid"), [(-121, False), (-120, True), (VALID_SECONDS, True), (601, False)])
async def test_a_request_is_valid_for_ten_minutes(after: int, valid: bool) -> None:
    """channels.md 4, rule 8; the other clock may go wrong by two minutes."""
    found, signature = Ask.decode(await signed(ask()))
    if valid:
        found.check(DOMAIN, READER.address, signature, NOW + after)
    else:
        with pytest.raises(SignatureRejected):
            found.check(DOMAIN, READER.address, signature, NOW + after)


async def test_only_the_canonical_encoding_is_read() -> None:
    data = await signed(ask(AskKind.RESYNC))
    for bad in (b"", data[:-1], data + b"\x00", b"\x00\x02" + data[2:], data[:2] + b"\x09" + data[3:]):
        with pytest.raises(FormatError):
            Ask.decode(bad)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(ask(), first=0),
        replace(ask(), first=9, last=5),
        replace(ask(), last=5 + MAX_RANGE),
        replace(ask(), public=PUBLIC),
        replace(ask(AskKind.RESYNC), public=b""),
        replace(ask(AskKind.RECEIPT), last=3),
        replace(ask(), request_id=bytes(32)),
        replace(ask(AskKind.HISTORY), first=2**63),
        replace(ask(), first=2**63, last=2**63),
    ],
)
async def test_requests_without_sense_are_neither_made_nor_read(wrong: Ask) -> None:
    with pytest.raises(UsageError):
        wrong.body()
    good = await signed(ask(wrong.kind))
    with pytest.raises(UsageError):
        wrong.encode(good[-65:])


def test_the_bounds_of_a_range_and_of_its_time() -> None:
    for first, last in ((1, 1), (1, MAX_RANGE), (10**9, 10**9 + MAX_RANGE - 1)):
        replace(ask(), first=first, last=last).body()
        with pytest.raises(UsageError):
            replace(ask(), first=first, last=first + MAX_RANGE).body()
    statement = ask().statement(b"\x0a" * 20)
    assert statement.account == b"\x0a" * 20
    assert (statement.signed_at, statement.expires_at) == (ask().signed_at, ask().signed_at + VALID_SECONDS)


@given(st.binary(max_size=400))
def test_noise_is_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(FormatError):
        Ask.decode(data)


def test_a_request_is_answered_once() -> None:
    """Attack: whoever reads the topic repeats a request."""
    limiter = AskLimiter()
    assert limiter.admit(ask(), NOW) is None
    for later in (0, 1, 300, VALID_SECONDS):
        assert limiter.admit(ask(), NOW + later) is not None
    assert limiter.admit(ask(number=2), NOW + 1) is None


def test_four_resyncs_a_day_per_grant() -> None:
    """channels.md 4, rule 8."""
    limiter = AskLimiter()
    for i in range(DAILY_RESYNCS):
        assert limiter.admit(ask(AskKind.RESYNC, i, NOW + 100 * i), NOW + 100 * i) is None
    late = NOW + 86_399
    assert limiter.admit(ask(AskKind.RESYNC, 50, late), late) is not None
    other = replace(ask(AskKind.RESYNC, 51, late), grant_id=b"\x0b" * 32)
    assert limiter.admit(other, late) is None
    assert limiter.admit(ask(AskKind.ENVELOPES, 52, late), late) is None, "other requests go on"
    next_day = NOW + 86_400
    assert limiter.admit(ask(AskKind.RESYNC, 53, next_day), next_day) is None
    assert limiter.admit(ask(AskKind.RESYNC, 54, next_day), next_day) is not None


def test_a_restart_forgets_no_resync_that_was_given() -> None:
    """channels.md 4, rule 8: once, and four a day, whenever the writer was started."""
    asked = [ask(AskKind.RESYNC, i, NOW + 100 * i) for i in range(DAILY_RESYNCS)]
    after = AskLimiter()
    for i, each in enumerate(asked[:-1]):
        after.given(each.request_id, each.grant_id, NOW + 100 * i)
    assert after.admit(asked[0], NOW + 300) is not None, "replayed"
    assert after.admit(asked[-1], NOW + 300) is None
    assert after.admit(ask(AskKind.RESYNC, 50, NOW + 400), NOW + 400) is not None


def test_what_a_restart_remembers_goes_once_no_clock_takes_it_any_more() -> None:
    """A request may be signed by a clock that runs ahead by as much as is allowed."""
    asked, last = ask(AskKind.RESYNC, 1, NOW), NOW + VALID_SECONDS + 120
    for moment, refused in ((last, True), (last + 1, False)):
        after = AskLimiter()
        after.given(asked.request_id, asked.grant_id, NOW)
        assert (after.admit(asked, moment) is not None) is refused


def test_a_flood_of_one_grant_is_bounded_and_harms_no_other() -> None:
    limiter = AskLimiter()
    start = NOW - NOW % 60
    answers = [limiter.admit(ask(number=i, at=start), start) for i in range(1000)]
    assert sum(answer is None for answer in answers) == 60
    assert limiter.admit(replace(ask(number=2000), grant_id=b"\x0b" * 32), start) is None
    assert limiter.admit(ask(number=2001, at=start + 60), start + 60) is None


def test_the_limiter_forgets_what_is_over() -> None:
    limiter = AskLimiter()
    for i in range(2000):
        now = NOW + i * 60
        limiter.admit(replace(ask(AskKind.RESYNC, i, now), grant_id=i.to_bytes(32, "big")), now)
    assert len(limiter._seen) < 20
    assert len(limiter._minute) < 3
    assert len(limiter._resyncs) <= 24 * 60 + 1
