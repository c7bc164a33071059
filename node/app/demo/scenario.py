"""The story, step by step. Each step does what a person or an accident does, and waits for what must follow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Sequence
from typing import Any, Final

from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils.address import to_canonical_address

from keys.ethereum import Account
from node.app.demo.errors import DemoFailed
from node.app.demo.evidence import Outage, Reading, Rebuild, WalletSignature
from node.app.demo.nodes import FINALITY, DemoNode
from node.app.demo.story import GATEWAY, PROVIDERS, SLOT_SECONDS, Story
from node.app.demo.trading import admit_source, trade

__all__ = ["play"]

SECOND, QUARTER, GAS = "electricity/1s", "electricity/15min", "gas/1h"
_WANTED: Final = {"A": (SECOND, QUARTER), "B": (SECOND,), "C": (SECOND, QUARTER, GAS), "D": (SECOND, GAS)}
_PURPOSES: Final = {
    "A": "Advice on a heat pump",
    "B": "A trial of two minutes",
    "C": "Yearly energy report with history",
    "D": "Advertising",
}
_EXPORT_WORDS: Final = "words for the exported key"


async def play(story: Story) -> None:
    """All of it, in order; waits overlap with other steps wherever nothing depends on them."""
    steps = story.steps
    with steps.step("gateway and home pair: a one-time code, both sign, the registry has it"):
        await _pair(story)
    with steps.step("the home registers three streams that begin two days ago"):
        await _streams(story)
    asking = asyncio.create_task(_ask_and_grant(story))
    try:
        with steps.step("the meter plays two days at one telegram in ten seconds, then goes live"):
            await _backlog(story)
        with steps.step("A, C and D ask; A is granted, C by an external wallet, D is denied"):
            await asking
    finally:
        asking.cancel()
    with steps.step("B asks for two slots and is granted"):
        end = await _grant_b(story)
    with steps.step("everybody reads what they may"):
        await _all_read(story)
    with steps.step("the gateway is killed with -9 and comes back"):
        await _kill_gateway(story)
    with steps.step("the broker is stopped and comes back"):
        await _stop_broker(story)
    with steps.step("A is revoked while the gateway writes"):
        await _revoke(story)
    with steps.step("a reorg removes the block with the revocation; the home sends it again"):
        await _reorg(story)
    before_edge = end - time.time() > 30
    if before_edge:
        await _rebuild(story, HOME_STEP, story.home)
    if story.villagers is not None:
        await story.villagers
    with steps.step("B expires by itself at its slot's edge; a source is admitted and shared with two others"):
        await asyncio.gather(_expire(story, end), admit_source(story))
    if not before_edge:
        await _rebuild(story, HOME_STEP, story.home)
    await _rebuild(story, GATEWAY_STEP, story.gateway)
    await trade(story)
    with steps.step("the meter falls silent; everybody reads to the end"):
        await _finish(story)


HOME_STEP: Final = "the home's database is deleted and rebuilt"
GATEWAY_STEP: Final = "the gateway's database is deleted and rebuilt; it goes on where it was"


async def _pair(story: Story) -> None:
    code = json.loads(await story.gateway.cli("pair", "new", "--json"))
    await story.home.cli("pair", code["code"], "--url", story.gateway.url, "--json")

    async def paired() -> bool:
        states = [await node.get("/pairing") for node in (story.home, story.gateway)]
        return all(state["state"] == "paired" for state in states)

    await story.until("home and gateway are paired", paired)


async def _streams(story: Story) -> None:
    async def registered() -> bool:
        rows = await story.home.items("/streams")
        story.names.update({bytes.fromhex(row["sid"][2:]): row["name"] for row in rows if row.get("name")})
        return len(story.names) == 3 and story.logs("StreamRegistered") >= 3

    await story.until("three streams are registered", registered)


async def _backlog(story: Story) -> None:
    await story.meter.tell("backlog", story.genesis, "now", 10)
    await asyncio.wait_for(story.meter.tell("wait"), 120)
    await story.meter.tell("live")
    story.live_from = int(story.note("live"))


# Asking and granting


async def _ask(story: Story, letter: str, start: int | None = None, end: int | None = None) -> str:
    """The provider asks. Returns the request's id once the home has it."""
    streams, purpose = list(_WANTED[letter]), _PURPOSES[letter]
    body = {"home": story.home.url, "streams": streams, "purpose": purpose, "start": start, "end": end}
    request = await story.nodes[letter].post("/requests", body)

    async def arrived() -> bool:
        return any(row["id"] == request["id"] for row in await story.home.items("/requests"))

    await story.until(f"the request of {letter} reaches the home", arrived)
    return str(request["id"])


async def _ask_by_hand(story: Story, letter: str) -> str:
    """The same on the provider's command line."""
    streams = [word for name in _WANTED[letter] for word in ("--stream", name)]
    words = ("consent", "request", story.home.url, *streams, "--purpose", _PURPOSES[letter], "--json")
    return str(json.loads(await story.nodes[letter].cli(*words))["id"])


async def _grant(story: Story, letter: str, request_id: str) -> None:
    answer = await story.home.post(f"/requests/{request_id}/grant", {})
    story.granted[letter] = bytes.fromhex(answer["digest"][2:])


async def _ask_and_grant(story: Story) -> None:
    if story.providers is not None:
        await story.providers
    a, c, d = await asyncio.gather(_ask_by_hand(story, "A"), _ask(story, "C", story.genesis), _ask(story, "D"))
    await story.home.cli("consent", "deny", d, "--reason", "No, thank you", "--json")
    answer = json.loads(await story.home.cli("consent", "grant", a, "--json"))
    story.granted["A"] = bytes.fromhex(answer["digest"][2:])
    await _grant_by_wallet(story, "C", c)

    async def told() -> bool:
        rows = await story.nodes["D"].items("/requests")
        return any(row["state"] == "denied" for row in rows)

    await story.until("D is told that it was denied", told)
    await _final(story, ("A", "C"))


async def _grant_by_wallet(story: Story, letter: str, request_id: str) -> None:
    """permissions.md 1, door 3: the owner's key in another wallet signs what the node prepared."""
    target = story.home.folder / "wallet-v3.json"
    await story.home.cli("keys", "export", "wallet", "--out", str(target), stdin=_EXPORT_WORDS + "\n")
    key = await asyncio.to_thread(Account.decrypt, json.loads(target.read_text()), _EXPORT_WORDS)
    typed = json.loads(await story.home.cli("consent", "grant", request_id, "--unsigned"))
    message = encode_typed_data(full_message=typed)
    wallet = Account.from_key(key)
    signature = "0x" + wallet.sign_message(message).signature.hex().removeprefix("0x")
    await story.home.cli("consent", "grant", request_id, "--signature", signature, "--json")
    digest = bytes(_hash_eip191_message(message))
    story.granted[letter] = digest
    story.wallet = WalletSignature(digest, to_canonical_address(wallet.address))


async def _final(story: Story, letters: Sequence[str]) -> None:
    async def granted() -> bool:
        return all(story.on_chain("Granted", story.granted[letter]) for letter in letters)

    await story.until(f"the chain has the consents of {', '.join(letters)}", granted)


async def _grant_b(story: Story) -> int:
    """Until the second slot edge of the live part, from the slot in which it began. Returns the end.

    On a machine so busy that the live part is older than a slot, it counts from now: B is to read live.
    """
    live = max(story.live_from, int(time.time()) - 10)
    first_edge = live - (live - story.genesis) % SLOT_SECONDS + SLOT_SECONDS
    start, end = first_edge - SLOT_SECONDS, first_edge + SLOT_SECONDS
    await _grant(story, "B", await _ask(story, "B", start, end))
    await _final(story, ("B",))
    return end


# Reading and accidents


async def _has(node: DemoNode, sid: bytes, since: int) -> bool:
    try:
        page = await node.get(f"/streams/0x{sid.hex()}/readings", limit=1, **{"from": since})
    except DemoFailed:
        return False
    return bool(page["items"])


async def _all_read(story: Story) -> None:
    sid, since = story.sid(SECOND), int(time.time())

    async def live() -> bool:
        return all([await _has(story.nodes[letter], sid, since) for letter in ("B", "C")])

    async def history() -> bool:
        rows = await story.nodes["C"].get(f"/streams/0x{sid.hex()}/readings", limit=1, to=story.genesis + SLOT_SECONDS)
        return bool(rows["items"])

    async def a_reads() -> bool:
        return await _has(story.nodes["A"], sid, since)

    await story.until("B and C read live", live)
    await story.until("C has the history", history)
    await story.until("A reads from its first slot on", a_reads, SLOT_SECONDS + 30)


async def _writes_again(story: Story, since: float) -> None:
    sid = story.sid(SECOND)
    await story.until("the gateway writes again", lambda: story.data_after(since, sid, 2))


async def _kill_gateway(story: Story) -> None:
    outage = await story.away(GATEWAY, signal.SIGKILL, 1.0)
    await _writes_again(story, outage.end)


async def _stop_broker(story: Story) -> None:
    outage = await story.away("broker", signal.SIGTERM, 4.0)
    await _writes_again(story, outage.end)


async def _revoke(story: Story) -> None:
    sid, grant_id = story.sid(SECOND), story.granted["A"]
    story.harvests["A"].look()
    story.harvests["A"].pin()
    asked = story.note("revoke")
    epoch = story.newest(sid)["epoch"]
    await story.home.post(f"/consents/0x{grant_id.hex()}/revoke", {})

    async def rekeyed() -> bool:
        known = await story.data_after(asked, sid) and story.newest(sid)["epoch"] > epoch
        return known and bool(story.on_chain("Revoked", grant_id))

    await story.until("A's revocation is on chain and the stream goes on under new keys", rekeyed, 30)


async def _reorg(story: Story) -> None:
    grant_id = story.granted["A"]
    first = story.watch.blocks[story.on_chain("Revoked", grant_id)[0]]
    story.note("reorg")
    depth = story.watch.height - first.number + 1
    if depth > FINALITY:
        story.steps.say(f"the reorg goes {depth} blocks deep, below what was final")
    await story.devnet.reorg(depth)

    async def back() -> bool:
        found = story.on_chain("Revoked", grant_id)
        return bool(found) and first.hash not in found and story.commits_are_back()

    await story.until("the revocation and the commits after it are on chain again", back)


async def _expire(story: Story, end: int) -> None:
    if end > time.time():
        await asyncio.sleep(end - time.time())
    sid, slot = story.sid(SECOND), (end - story.genesis) // SLOT_SECONDS

    async def later() -> bool:
        return story.newest(sid)["slot"] >= slot

    await story.until("the stream goes on in the slot after B's end", later, 30)

    async def expired() -> bool:
        row = await story.home.get(f"/consents/0x{story.granted['B'].hex()}")
        return bool(row["state"] == "expired")

    await story.until("the home shows B's consent as expired", expired, 30)


# Rebuilding

_VOLATILE: Final = {"readings", "last_reading_at", "first_reading_at", "live_readers", "alarms", "resyncs"}

STANDS_S = 3.0


async def _listing(node: DemoNode) -> dict[str, Any]:
    """What does not change by the second. Refusals (a gateway shows no consents) are part of it."""
    found: dict[str, Any] = {}
    for name, path in (("streams", "/streams"), ("consents", "/consents"), ("requests", "/requests")):
        rows = await node.items(path)
        found[name] = sorted(({k: v for k, v in row.items() if k not in _VOLATILE} for row in rows), key=json.dumps)
    found["pairing"] = [await node.get("/pairing")]
    return found


async def _standing(node: DemoNode) -> dict[str, Any]:
    """The listing once it stands still: the commit after a revocation may be a block or two away."""
    found = await _listing(node)
    while True:
        await asyncio.sleep(STANDS_S)
        before, found = found, await _listing(node)
        if before == found:
            return found


async def _held(story: Story, node: DemoNode) -> dict[bytes, tuple[Reading, ...]]:
    """Every reading that the home shows, by stream; a gateway reads nothing."""
    found: dict[bytes, tuple[Reading, ...]] = {}
    for sid in story.names if node is story.home else ():
        found[sid] = ()
        with contextlib.suppress(DemoFailed):  # refused until it has opened its stream again
            found[sid] = await node.readings(sid)
    return found


async def _rebuild(story: Story, title: str, node: DemoNode) -> None:
    with story.steps.step(title):
        before = await _standing(node)
        had = await _held(story, node)
        began = time.time()
        code = await story.processes.end(node.name, signal.SIGTERM)
        node.delete_database()
        await story.processes.restart(node.name)
        await node.until_up()
        if node.name == GATEWAY:
            story.outages.append(Outage(node.name, began, time.time(), code))
        after, has = before, had

        async def same() -> bool:
            nonlocal after, has
            after = await _listing(node)
            if after == before:
                has = await _held(story, node)
            return after == before and all(len(has[sid]) >= len(rows) for sid, rows in had.items())

        try:
            await story.until("the listings are the same again", same, 25)
        except DemoFailed:
            story.steps.say(f"{node.name} lists something else than before")
        story.rebuilds.append(Rebuild(node.name, before, after, had, has))
        if node.name == GATEWAY:
            await _writes_again(story, time.time())


async def _finish(story: Story) -> None:
    """Everything that the meter said must have arrived once it has been silent for some seconds."""
    sid = story.sid(SECOND)
    await asyncio.sleep(3.0)
    await story.meter.tell("pause")
    silent = int(time.time())

    async def arrived() -> bool:
        return await _has(story.nodes["C"], sid, silent - 2)

    await story.until("C has the last readings", arrived, 20)
    await asyncio.sleep(2.0)
    story.moments["read"] = time.time() + 6.0
    for letter in PROVIDERS:
        story.harvests[letter].look()
        story.harvests[letter].pin()
