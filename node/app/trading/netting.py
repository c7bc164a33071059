"""The netting cycle of a market: once a day's lines are in, one batch takes the debits; later it is released.

Periods go open -> sent -> settled -> released (or void). All of it is read off facts and the chain, so a restart goes
on where it was, and the contract takes each period once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from eth_utils.crypto import keccak

from contracts.bindings import net_settlement as abi
from contracts.nettings import encode_entries, merkle_path, merkle_root
from keys import messages as m
from node.app.core import Core
from node.app.services import looped
from node.app.submissions import submission_of
from node.app.trading.netcontracts import NetContracts
from node.app.trading.netleft import LeftLines
from node.app.trading.netlines import NetLines, StoredLine, net_domain_of
from node.app.trading.netmoney import net_deposit
from node.app.trading.netperiods import PERIODS, Period
from node.ledger.errors import RpcRefused
from node.ledger.netting import NetState, NetViews
from node.ledger.transaction import Call
from node.projection.submission import Submission, SubmissionStatus
from node.runtime.supervisor import Service
from node.services.market.netting import DAY, deposit_for, within

__all__ = ["NetCycle"]

_log = structlog.get_logger(__name__)

EVERY_S = 30.0
VALID_S = 3_600
_ENDED = {NetState.RELEASED: "released", NetState.VOID: "void"}
# The contract keeps the block's time, so a block that a reorg could take away does not count yet; and what was only
# rejected may still succeed until its deadline.
_IN = (SubmissionStatus.FINAL,)
_REFUSED = (SubmissionStatus.FAILED,)


class NetCycle:
    """The operator is this node's wallet, the sender pays the gas."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._operator = core.keys.identity.wallet()
        self.lines = NetLines(core)
        self.contracts = NetContracts(core, self.lines)
        self.left = LeftLines(core, self.lines, self.contracts)
        self.contracts.settles, self.contracts.excludes = self.left.settles, self.left.excludes
        self.contracts.left_out, self.contracts.left_of = self.left.left_out, self.left.of_account

    async def deposit(self, amount: int) -> bytes:
        """Minor units of the operator's own wallet for its book: a batch needs a tenth of what it moves there.

        Returns the deposit's digest. Raises Conflict where the wallet has less.
        """
        core, domain = self._core, net_domain_of(self._core)
        message, opening = await net_deposit(core, self._operator, self._operator.address, amount)
        signature = await self._operator.sign_message(message, domain)
        await core.storage.memory.keep([submission_of(core, message, [signature], opening, domain)])
        core.wake()
        return m.digest(message, domain)

    def service(self) -> Service:
        return Service("netting", looped(self._core.new_wake(), self._loop, EVERY_S))

    async def _loop(self) -> bool:
        await self.step()
        return False

    async def step(self) -> None:
        """Moves every period on as far as it goes now."""
        views = self._core.chain.netting
        if views is None:
            return
        await self.contracts.step()
        for period, found in (await self.lines.periods.live()).items():
            state = found["state"]
            if state == "open" and self._over(period):
                await self._settle(views, period)
            elif state == "sent":
                await self._look(period, found)
            elif state == "settled":
                await self._serve(views, period, found)
        await self.left.step()

    def _now(self) -> int:
        head = self._core.chain.indexer.head
        return head.timestamp if head is not None else 0

    def _over(self, period: int) -> bool:
        return self._now() >= (period + 1) * DAY + self._core.settings.market.net_after_s

    async def _note(self, period: int, **changes: Any) -> None:
        known = await self._core.storage.memory.facts.get(PERIODS, str(period)) or {}
        told = changes.get("state") in ("settled", "idle", "void")
        names = [key.hex() for key in await self.contracts.of(period)] if told else ()
        await self.contracts.news.keep([(PERIODS, str(period), {**known, **changes})], names)

    async def _settle(self, views: NetViews, period: int) -> None:
        """One batch of all lines that mandates and balances cover; the others stay owed by themselves."""
        await self.contracts.close(period)
        operator, lines = self._operator.address, within_requests(await self.lines.of(period))
        numbers, limits = dict[bytes, int](), dict[bytes, int]()
        for account in {a for each in lines.values() for a in (each.line.request.account, each.line.seller)}:
            member = await views.member(operator, account)
            numbers[account] = await views.number(operator, account)
            fresh = member.last_period < period <= member.until_period
            limits[account] = min(member.balance, member.max_debit) if fresh else 0
        known = [each.net() for each in lines.values() if numbers[each.line.seller]]
        netting, left = within(known, limits)
        if not netting.total:
            await self.left.begin(period, (), 0)
            await self._note(period, state="idle", left=len(lines))
            return
        own, needed = (await views.member(operator, operator)).balance, deposit_for(netting.total)
        if own < needed:
            # The contract would refuse it. Once the operator deposited more, the day is netted as it is then.
            await self._short(period, needed - own)
            return
        debits = encode_entries(sorted((numbers[account], sum_) for account, sum_ in netting.debits().items()))
        credits = encode_entries(sorted((numbers[account], sum_) for account, sum_ in netting.credits().items()))
        root = merkle_root([line.leaf for line in netting.lines])
        message = m.NetBatch(operator, period, root, keccak(debits), keccak(credits), self._core.clock.now() + VALID_S)
        domain = net_domain_of(self._core)
        signature = await self._operator.sign_message(message, domain)
        wish = submission_of(self._core, message, [signature], [debits, credits], domain)
        note = {
            "state": "sent",
            "closed": True,
            "digest": wish.digest.hex(),
            "root": root.hex(),
            "debits": debits.hex(),
            "credits": credits.hex(),
            "leaves": [line.leaf.hex() for line in netting.lines],
            "left": len(lines) - len(netting.lines),
            "total": netting.total,
            "deposit_short": 0,
        }
        await self._core.storage.memory.keep([wish], [(PERIODS, str(period), note)])
        self._core.wake()
        _log.info("net_batch_sent", period=period, lines=len(netting.lines), left=len(left), total=netting.total)

    async def _short(self, period: int, missing: int) -> None:
        known = await self._core.storage.memory.facts.get(PERIODS, str(period)) or {}
        if known.get("deposit_short") != missing:
            _log.error("net_deposit_short", period=period, missing=missing)
            self._core.metrics.alarm("unfunded")
            await self._note(period, deposit_short=missing)

    async def _look(self, period: int, found: Period) -> None:
        """Whether the batch arrived; one that the contract refused is made anew with what is true then."""
        core = self._core
        submission = await core.storage.views.one(Submission, bytes.fromhex(found["digest"]))
        if submission.status in _IN and submission.block is not None:
            block = await core.chain.rpc.block(submission.block.number)
            if block is not None and block.header.hash == submission.block.hash:
                since, at = submission.block.number, block.header.timestamp
                await self.left.begin(period, {bytes.fromhex(leaf) for leaf in found["leaves"]}, since, at)
                await self._note(period, state="settled", settled_at=at, block=since)
        elif submission.status in _REFUSED:
            _log.error("net_batch_refused", period=period, reason=submission.reason)
            await self._note(period, state="open", refused=submission.reason)

    def _described(self, found: Period) -> abi.Net:
        debits, credits = bytes.fromhex(found["debits"]), bytes.fromhex(found["credits"])
        return abi.Net(bytes.fromhex(found["root"]), keccak(debits), keccak(credits), found["settled_at"])

    async def _serve(self, views: NetViews, period: int, found: Period) -> None:
        """Shows lines to debtors who ask, and releases the credits when the window is over."""
        operator = self._operator.address
        kept = await views.batch(operator, period)
        if kept in _ENDED:
            _log.info("net_batch_closed", period=period, void=kept is NetState.VOID)
            if kept is NetState.VOID:  # all debits went back
                await self.left.begin(period, (), found["block"])
            await self._note(period, state=_ENDED[kept])
            return
        if kept is NetState.NONE:  # a fork took it; or a later day has its record, which is not before it ended
            return
        for number in sorted(await views.demanded(operator, period, found["block"])):
            await self._show(views, period, found, number)
        if self._now() >= found["settled_at"] + await views.window():
            credits = bytes.fromhex(found["credits"])
            data = abi.encode_release_net(operator, period, self._described(found), credits)
            await self._call(views, f"release{period}", data, 200_000 + 500 * len(credits))

    async def _show(self, views: NetViews, period: int, found: Period, number: int) -> None:
        """The lines behind one debit, in the contract's order, each with its way to the root."""
        # As the batch has them: a line that was on its way when it was made is none of it.
        operator, lines = self._operator.address, await self.lines.of(period)
        debits = bytes.fromhex(found["debits"])
        index = [int.from_bytes(debits[at : at + 4], "big") for at in range(0, len(debits), 16)].index(number)
        leaves = [bytes.fromhex(leaf) for leaf in found["leaves"]]
        debtors = {lines[leaf].line.request.account for leaf in leaves}
        (debtor,) = [each for each in debtors if await views.number(operator, each) == number]
        own = sorted((lines[leaf] for leaf in leaves if lines[leaf].line.request.account == debtor), key=_in_order)
        paths = [merkle_path(leaves, leaves.index(line.leaf)) for line in own]
        shown = [line.line for line in own]
        data = abi.encode_show_lines(operator, period, self._described(found), debits, index, shown, paths)
        await self._call(views, f"show{period}/{number}", data, 300_000 + 60_000 * len(own))

    async def _call(self, views: NetViews, name: str, data: bytes, gas: int) -> None:
        core, call = self._core, Call(views.address, data, gas=gas)
        try:
            await core.chain.rpc.call(call.to, call.data, sender=core.chain.sender.address)
        except RpcRefused as refused:
            _log.warning("netting_waits", step=name, reason=str(refused))
            return
        await core.chain.sender.submit(bytes(keccak(self._operator.address + name.encode())), call, again=True)


def _in_order(line: StoredLine) -> tuple[bytes, bytes]:
    return line.request, line.leaf


def within_requests(lines: Mapping[bytes, StoredLine]) -> dict[bytes, StoredLine]:
    """The lines that their requests have energy for. Two that came at once may exceed it together, and a batch with
    both could not be shown to its debtor, who would have the operator's deposit for it."""
    kept, filled = dict[bytes, StoredLine](), dict[bytes, int]()
    for key, each in sorted(lines.items(), key=lambda item: item[1].leaf):
        taken = filled.get(each.request, 0) + each.line.wh
        if taken <= each.line.request.wh:
            filled[each.request] = taken
            kept[key] = each
    return kept
