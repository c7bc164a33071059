"""Checks of the second half: what was minted, to whom, what was traded, what was measured, where the money is."""

from __future__ import annotations

from collections.abc import Sequence

from node.app.demo.checks.base import Check, check
from node.app.demo.evidence import Evidence, Settlement, Telegram
from node.app.demo.settlementlog import (
    MadeContract,
    contracts,
    delivered,
    earned_by_shares,
    initial_counter,
    paid,
    produced,
    transactions,
)

__all__ = [
    "deliveries_are_measured",
    "matches_are_within_limits",
    "minted_from_readings",
    "money_is_conserved",
    "paid_in_one_batch",
    "shares_get_their_part",
]

MWH_PER_WH = 1_000
_EXPORT = ("1-0:2.8.1", "1-0:2.8.2")
_IMPORT = ("1-0:1.8.1", "1-0:1.8.2")


def _none(name: str) -> Check:
    return Check(name, False, "the second half was not played")


def _counter(telegram: Telegram, codes: Sequence[str]) -> int:
    return sum(telegram.registers.get(code, 0) for code in codes)


def minted_from_readings(evidence: Evidence) -> Check:
    """P-18: each reading is what the meter said at that time, and the token holds their differences and no more."""
    name, found = "minted from signed readings", evidence.settlement
    if found is None:
        return _none(name)
    readings, first = produced(found), initial_counter(found)
    if first is None or len(readings) < 2:
        return Check(name, False, f"{len(readings)} readings of the source are on chain")
    said = {telegram.at: _counter(telegram, _EXPORT) for telegram in found.made}
    faults = [
        f"reading {each.index} says {each.counter} Wh, the meter said {said.get(each.meter_time)}"
        for each in readings
        if said.get(each.meter_time) != each.counter
    ]
    if [each.index for each in readings] != sorted({each.index for each in readings}):
        faults.append("readings are repeated or out of order")
    minted = (readings[-1].counter - first) * MWH_PER_WH
    if found.supply != minted:
        faults.append(f"the token holds {found.supply} mWh, the readings make {minted}")
    return check(name, faults, f"{len(readings)} readings, {minted // MWH_PER_WH} Wh")


def shares_get_their_part(evidence: Evidence) -> Check:
    """contracts.md, EnergyToken: everybody by the shares held at each reading, to within one unit for each holder."""
    name, found = "three shareholders get their part", evidence.settlement
    if found is None:
        return _none(name)
    earned = earned_by_shares(found)
    got = {share.holder: share.balance + share.claimable for share in found.shares}
    faults = [
        f"0x{holder.hex()[:8]} has {got.get(holder, 0)} mWh, the shares earned {int(part)}"
        for holder, part in earned.items()
        if not 0 <= part - got.get(holder, 0) < len(earned) + 1
    ]
    if len([share for share in found.shares if share.shares]) != 3:
        faults.append(f"{len(found.shares)} holders have shares")
    if sum(got.values()) > found.supply:
        faults.append(f"{sum(got.values())} mWh are somebody's, {found.supply} were made")
    if not found.shares or not all(share.balance for share in found.shares):
        faults.append("not everybody claimed")
    return check(name, faults, ", ".join(f"{share.shares} shares: {got[share.holder]} mWh" for share in found.shares))


def matches_are_within_limits(evidence: Evidence) -> Check:
    """M-31, A-16: price between offer and request, and no order filled beyond what it is for."""
    name, found = "matched within what both signed", evidence.settlement
    if found is None:
        return _none(name)
    made, filled, faults = contracts(found), dict.fromkeys(found.orders, 0), []
    for each in made:
        offer, request = found.orders.get(each.offer), found.orders.get(each.request)
        if offer is None or request is None or not offer[0] or request[0]:
            faults.append("a contract names an order that nobody made")
            continue
        if not offer[2] <= each.price <= request[2]:
            faults.append(f"a price of {each.price} between {offer[2]} and {request[2]}")
        if (each.seller, each.buyer) != (found.seller, found.buyer):
            faults.append("a contract names other parties")
        filled[each.offer] += each.wh
        filled[each.request] += each.wh
    faults += [
        f"an order for {found.orders[key][1]} Wh is filled with {wh}"
        for key, wh in filled.items()
        if wh > found.orders[key][1]
    ]
    if len(made) < 2:
        faults.append(f"{len(made)} contracts were made")
    return check(name, faults, ", ".join(f"{each.wh} Wh at {each.price}" for each in made))


def _counted(telegrams: Sequence[Telegram], codes: Sequence[str], start: int, end: int) -> int:
    """Wh between the first telegrams from `start` and from `end` on."""
    ordered = sorted(telegrams, key=lambda telegram: telegram.at)
    first = next((_counter(t, codes) for t in ordered if t.at >= start), 0)
    last = next((_counter(t, codes) for t in ordered if t.at >= end), 0)
    return last - first


def deliveries_are_measured(evidence: Evidence) -> Check:
    """market.md: min(delivered, contracted), as the meters themselves say, and owed at the agreed price."""
    name, found = "deliveries are what the meters measured", evidence.settlement
    if found is None:
        return _none(name)
    made, settled, faults, said = contracts(found), delivered(found), [], []
    slots: dict[tuple[int, int], list[MadeContract]] = {}
    for each in made:
        slots.setdefault(found.delivery, []).append(each)
    for (start, end), those in slots.items():
        out = _counted(found.made, _EXPORT, start, end)
        used = _counted(found.used, _IMPORT, start, end)
        for each in sorted(those, key=lambda contract: contract.contract_id):
            wanted = min(out, used, each.wh)
            (out, used) = (out - min(out, each.wh), used - min(used, each.wh))
            wh, due = settled.get(each.contract_id, (-1, -1))
            # A telegram that came a second later moves a counter by a few Wh.
            if abs(wh - wanted) > _TOLERANCE_WH or wh > each.wh:
                faults.append(f"{wh} Wh count as delivered, the meters say {wanted}")
            if not 0 <= due - wh * each.price // 1_000 <= 1:
                faults.append(f"{due} are owed for {wh} Wh at {each.price}")
            said.append(f"{wh} of {each.wh} Wh")
    if not made:
        faults.append("no contract was made")
    return check(name, faults, ", ".join(said))


_TOLERANCE_WH = 8
"""Three seconds at 9 kW."""


def paid_in_one_batch(evidence: Evidence) -> Check:
    """M-53 to M-57: every contract is paid once and in full, and one transaction paid more than one."""
    name, found = "paid once, by batch", evidence.settlement
    if found is None:
        return _none(name)
    payments, faults = paid(found), []
    for contract_id, (_, due) in delivered(found).items():
        if payments.get(contract_id) != [due]:
            faults.append(f"{due} were owed, {payments.get(contract_id, [])} were paid")
    if not payments:
        faults.append("nothing was paid")
    elif len(transactions(found)) >= len(payments):
        faults.append(f"{len(payments)} contracts took {len(transactions(found))} transactions")
    return check(name, faults, f"{len(payments)} contracts in {len(transactions(found))} transaction")


def money_is_conserved(evidence: Evidence) -> Check:
    """What one lost the other has; nothing is made or lost on the way, and the market holds what its books say."""
    name, found = "money is conserved", evidence.settlement
    if found is None:
        return _none(name)
    total = sum(sum(amounts) for amounts in paid(found).values())
    has = {
        account: found.wallets.get(account, 0) + found.books.get(account, 0) for account in (found.seller, found.buyer)
    }
    faults = []
    if has[found.seller] - found.given.get(found.seller, 0) != total:
        faults.append(f"the seller has {has[found.seller]}, {total} were paid")
    if found.given.get(found.buyer, 0) - has[found.buyer] != total:
        faults.append(f"the buyer has {has[found.buyer]} of {found.given.get(found.buyer, 0)}, {total} were paid")
    if found.vault != sum(found.books.values()):
        faults.append(f"the market holds {found.vault}, its books say {sum(found.books.values())}")
    return check(name, faults, _balances(found, total))


def _balances(found: Settlement, total: int) -> str:
    seller, buyer = found.books.get(found.seller, 0), found.books.get(found.buyer, 0)
    return f"{total} paid; seller {seller}, buyer {buyer} in the book, {found.vault} in the vault"
