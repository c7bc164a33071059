"""Checks of what the chain holds, from raw JSON-RPC logs and receipts."""

from __future__ import annotations

import math
from collections.abc import Iterator

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from node.app.demo.checks.base import Check, check, commits, grant_of, removal
from node.app.demo.evidence import Evidence
from node.app.demo.gas import MESSAGES, gas_by_message
from node.app.demo.registrylog import commits_on_chain, events, grants, pairings, registrations, revocations
from node.app.demo.wirelog import WireCommit

__all__ = [
    "SMALL_REVOCATION",
    "commit_sizes",
    "commits_match_chain",
    "consent_by_wallet",
    "gas_is_recorded",
    "pairing_on_chain",
    "revocation_survives_reorg",
    "streams_registered",
]

SMALL_REVOCATION = 430
"""channels.md 5: bytes published by one revocation among ten readers."""

_FIXED = 101 + 40 + 32 + 65


def pairing_on_chain(evidence: Evidence) -> Check:
    """permissions.md 2: home and gateway are paired, and nobody else with either."""
    wanted = (evidence.setting.owner, evidence.setting.device)
    found = [(p.owner, p.device) for p in pairings(evidence)]
    faults = [] if wanted in found else ["the registry does not show the pairing of this home with this gateway"]
    faults += [
        f"0x{device.hex()} is paired with 0x{owner.hex()}"
        for owner, device in found
        if (owner, device) != wanted and (owner == wanted[0] or device == wanted[1])
    ]
    return check("pairing on chain", faults, f"device 0x{evidence.setting.device.hex()} with its owner, both signed")


def streams_registered(evidence: Evidence) -> Check:
    """channels.md 1: each stream under the id that owner and name give, with the chosen genesis and slot length."""
    setting = evidence.setting
    faults = []
    # Other households register streams of their own.
    found = {r.sid: r for r in registrations(evidence) if r.sid in setting.names or r.owner == setting.owner}
    for sid, name in setting.names.items():
        if sid not in found:
            faults.append(f"{name} is not registered")
            continue
        row = found[sid]
        fields = [setting.chain_id, setting.registry, row.owner, row.name_hash]
        if keccak(encode(["uint256", "address", "address", "bytes32"], fields)) != sid:
            faults.append(f"{name} has an id that its owner and name do not give")
        if row.owner != setting.owner:
            faults.append(f"{name} belongs to 0x{row.owner.hex()}")
        if (row.genesis, row.slot_seconds) != (setting.genesis, setting.slot_seconds):
            faults.append(f"{name} begins at {row.genesis} with slots of {row.slot_seconds} s")
    if len(found) != len(setting.names) or not found:
        faults.append(f"{len(found)} streams are registered, {len(setting.names)} were to be")
    return check("streams registered", faults, ", ".join(setting.names.values()))


def consent_by_wallet(evidence: Evidence) -> Check:
    """The consent that an external wallet signed is on chain under the digest that the wallet itself computed."""
    signed = evidence.wallet
    grant = None if signed is None else grants(evidence).get(signed.digest)
    if signed is None or grant is None:
        return Check("consent signed by a wallet", False, "the chain has no grant with the digest that was signed")
    faults = [] if grant.owner == signed.signer else [f"the grant's owner is 0x{grant.owner.hex()}"]
    return check("consent signed by a wallet", faults, f"0x{signed.digest.hex()[:16]}… by 0x{signed.signer.hex()}")


def commits_match_chain(evidence: Evidence) -> Check:
    """channels.md 4, rules 2 and 6: one commit per epoch on the wire, and the chain holds the hash of these bytes."""
    faults, total = [], 0
    for sid, name in evidence.setting.names.items():
        wire: dict[int, list[WireCommit]] = {}
        for commit in commits(evidence, sid):
            wire.setdefault(commit.epoch, []).append(commit)
        rows = commits_on_chain(evidence, sid)
        chain = {row.epoch: row.hash for row in rows}
        if len(rows) != len(chain):
            faults.append(f"{name}: the chain has {len(rows)} commits for {len(chain)} epochs")
        total += len(wire)
        if not wire or sorted(wire) != list(range(1, len(wire) + 1)):
            faults.append(f"{name}: epochs {sorted(wire)} were published")
        if set(chain) != set(wire):
            faults.append(f"{name}: the chain has epochs {sorted(chain)}, the wire {sorted(wire)}")
        previous = bytes(32)
        for epoch, found in sorted(wire.items()):
            if len(found) > 1:
                faults.append(f"{name}: {len(found)} different commits for epoch {epoch}")
            if found[0].hash != chain.get(epoch, found[0].hash):
                faults.append(f"{name}: the chain holds another hash for epoch {epoch}")
            if found[0].previous != previous:
                faults.append(f"{name}: epoch {epoch} does not follow the commit before")
            previous = found[0].hash
    return check(
        "one commit per epoch, as on chain", faults, f"{total} epochs of {len(evidence.setting.names)} streams"
    )


def commit_sizes(evidence: Evidence) -> Check:
    """channels.md 5: wraps within k*log2(cap/k) + k - 1, a single revocation among ten within 430 bytes."""
    faults, sizes = [], []
    for sid, name in evidence.setting.names.items():
        depth = 0
        for commit in sorted(commits(evidence, sid), key=lambda c: c.epoch):
            faults += [f"{name}, epoch {commit.epoch}: {fault}" for fault in _too_large(commit, commit.depth - depth)]
            depth = commit.depth
            sizes.append(commit.size)
    if not sizes:
        faults.append("no commit was heard")
    return check("commit sizes", faults, f"{min(sizes, default=0)} to {max(sizes, default=0)} bytes")


def _too_large(commit: WireCommit, grown: int) -> Iterator[str]:
    gone = sum(count for _, count in commit.removed)
    cap = 1 << commit.depth
    most = grown + (gone * math.log2(cap / gone) + gone - 1 if gone else 0)
    if len(commit.wraps) > most:
        yield f"{len(commit.wraps)} wraps, at most {most:.0f} are needed"
    exact = _FIXED + 6 * len(commit.removed) + 4 * len(commit.added) + 45 * len(commit.wraps)
    if commit.size != exact:
        yield f"{commit.size} bytes where {exact} say all"
    if gone == 1 and not commit.added and cap <= 16 and commit.size > SMALL_REVOCATION:
        yield f"{commit.size} bytes for one revocation"


def revocation_survives_reorg(evidence: Evidence) -> Check:
    """A reorg removed the block with the revocation; the home sent it again and no commit took it back."""
    name = "revocation survives the reorg"
    grant_id = evidence.providers["A"].grant_id or b""
    main = {block.hash for block in evidence.canonical}
    seen = revocations(evidence, grant_id, everywhere=True)
    gone = [r for r in seen if r.block.hash not in main]
    back = [r for r in seen if r.block.hash in main]
    faults = []
    if not gone:
        faults.append("no block with the revocation was removed")
    if not back:
        faults.append("the chain does not show the revocation any more")
    faults += _taken_back(evidence)
    if faults:
        return check(name, faults, "")
    wait = back[-1].block.seen_at - gone[-1].block.seen_at
    detail = f"block {gone[0].block.number} was removed, block {back[-1].block.number} has it again after {wait:.1f} s"
    return Check(name, True, detail)


def _taken_back(evidence: Evidence) -> Iterator[str]:
    """From the commit that removed A's leaf on, a leaf comes by a grant that was not there before, by nothing else."""
    grant = grant_of(evidence, "A")
    for sid in grant.sids if grant is not None else ():
        name, gone = evidence.setting.names.get(sid, sid.hex()), removal(evidence, sid)
        if gone is None:
            yield f"{name}: no commit removed A"
            continue
        first: dict[bytes, float] = {}
        for block, log in events(evidence, "Granted", everywhere=True):
            first.setdefault(log.topics[1], block.seen_at)
        known = grants(evidence)
        new = sum(
            sid in known[grant_id].sids
            for grant_id, seen_at in first.items()
            if grant_id in known and seen_at > gone.at - _FINAL_AFTER_S
        )
        added = sum(len(commit.added) for commit in commits(evidence, sid) if commit.epoch >= gone.epoch)
        if added > new:
            yield f"{name}: {added} leaves were added after it, {new} grants are new"


_FINAL_AFTER_S = 10.0
"""A grant acts once it is final, some blocks after it was seen: so long before the removal it counts as new."""


def gas_is_recorded(evidence: Evidence) -> Check:
    """Every kind of message that the story sends has a receipt."""
    found = gas_by_message(evidence)
    faults = [f"no receipt of a {kind}" for kind in MESSAGES if not found.get(kind)]
    faults += [f"a {kind} cost {min(all_)} gas" for kind, all_ in found.items() if all_ and min(all_) < 10_000]
    fine = ", ".join(f"{kind} {sum(all_) // len(all_):,}" for kind, all_ in found.items() if all_)
    return check("gas per message", faults, fine)
