"""The digital twins of contracts at their holders: what is final on the chain goes into each party's own log.

The market opens a twin when a contract is final: it draws the key and seals it to both partners. From then on every
party writes what it sees itself, and everybody gets every entry; a partner passes all of it on to its household. A
round looks at what became final since the last one, and writes what the own log lacks: a crash, a reorg below what is
final or a lost parcel leave nothing to repair.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from channels.errors import ChannelError, NotYet, TwinForked
from channels.twin import Twin as Logs
from channels.twin import TwinEntry
from keys import messages as m
from keys.errors import KeysError
from keys.parcel import Parcel
from keys.sealing import open_sealed, reader_key_hash, seal
from keys.signers import LocalSigner
from node.app.core import Core, canonical
from node.app.inbox import Inbox, Kept
from node.app.services import looped
from node.app.trading.asset import AssetRole
from node.app.trading.market import MarketRole
from node.app.trading.netstories import NetStories
from node.errors import Busy, Gone, Refused
from node.projection.base import Peer
from node.projection.order import Order
from node.projection.trade import Made, Trade
from node.projection.twin import Twin, TwinStatus
from node.projection.twin_events import (
    Invitation,
    ReceivedTwin,
    ReceivedTwinAnchor,
    ReceivedTwinEntry,
    ReceivedTwinFork,
    RequestedTwin,
    RequestedTwinEntry,
    TwinAnchor,
)
from node.runtime.supervisor import Service
from node.services.twin.netrecords import NetStory, net_records
from node.services.twin.proof import proven
from node.services.twin.records import encode_record, missing, progress_of, records_of
from node.storage.feed import FeedFilter
from node.storage.journal import Applied
from node.types import short_id
from node.wire.twins import TwinAnchored, TwinEntrySent, TwinHolder, TwinOpened

__all__ = ["Holders", "Twins"]

_log = structlog.get_logger(__name__)

EVERY_S = 1.0
_AT_ONCE = 200
_DUE = FeedFilter(("trade.final", "trade.progress", "trade.twin"))
_CURSOR = ("twins", "cursor")
_KEY_BYTES = 32
_KEYS_AT_HAND = 4_096
MOST_ENTRIES = 256
LONGEST_RECORD = 4_096
"""What one party may write about one contract: an honest one has some twenty short things to say."""


class Owned(Protocol):
    """A gateway: where the household is that it is paired with."""

    async def owner_peer(self) -> Peer | None: ...


class Household(Protocol):
    """A home: what it knows of a device that signs parcels; None for one that is not its gateway."""

    async def device_of(self, address: bytes) -> object | None: ...


@dataclass(frozen=True, slots=True)
class Holders:
    """As what this node holds twins: at a gateway its household is told everything, at a home the gateway tells."""

    market: MarketRole | None
    asset: AssetRole | None
    gateway: Owned | None = None
    home: Household | None = None


class Twins:
    """All twins that this node holds. `step` writes what is due."""

    def __init__(self, core: Core, holders: Holders) -> None:
        self._core = core
        self._holders = holders
        self._order = asyncio.Lock()
        self._keys: dict[tuple[bytes, bytes], bytes] = {}
        self.stories = NetStories(holders.market, holders.asset)
        core.storage.journal.subscribe(self._heard)

    def _heard(self, applied: Applied) -> None:
        for record in applied.records:
            for change in record.changes:
                if isinstance(change.state, Twin):
                    self.stories.heard(change.state.contract_id)

    def register(self, inbox: Inbox) -> None:
        inbox.on("twin.open", self._take_twin)
        inbox.on("twin.entry", self._take_entry)
        inbox.on("twin.anchor", self._take_anchor)

    def service(self) -> Service:
        return Service("twins", looped(self._core.wake_for(Trade, Twin), self.step, EVERY_S))

    async def step(self) -> bool:
        """Writes down what became final, was opened or was measured. True where there is more to do at once."""
        feed, facts = self._core.storage.feed, self._core.storage.memory.facts
        known = await facts.get(*_CURSOR)
        after = known["after"] if known is not None and known["feed"] == feed.id else 0
        try:
            page = await feed.read(after, _AT_ONCE, _DUE)
        except Gone:
            first, _ = await feed.bounds()
            page = await feed.read(first - 1, _AT_ONCE, _DUE)
        netted = await self.stories.changed()
        await self._write_all(list(dict.fromkeys((*(event.key for event in page.events), *netted))))
        if netted:
            await self.stories.seen(netted)
        if page.upto != after:
            await facts.set(*_CURSOR, {"feed": feed.id, "after": page.upto})
        return page.upto < page.last

    # Writing

    async def _write_all(self, contracts: Sequence[bytes]) -> None:
        """Contracts do not wait for each other, so what is written about them shares its ways to the disk."""
        if not contracts:
            return
        views = self._core.storage.views
        async with self._order:
            trades, twins = await views.many(Trade, contracts), await views.many(Twin, contracts)
            writing = [self._write_down(trades.get(key, Trade(key)), twins.get(key)) for key in contracts]
            for failure in await asyncio.gather(*writing, return_exceptions=True):
                if failure is not None:
                    raise failure
        self._core.wake()

    async def _write_down(self, trade: Trade, twin: Twin | None) -> None:
        """Every final fact that this node's own logs lack, in the order of the chain."""
        contract_id = trade.contract_id
        try:
            story = await self.stories.one(contract_id) if trade.terms is None else None
            terms = trade.terms or story
            if terms is None or (story is None and not records_of(trade)):
                return
            if twin is None or twin.status is TwinStatus.NONE:
                if not await self._open(terms, contract_id):
                    return  # the market opens it, which is an event of its own
                twin = await self._core.storage.views.one(Twin, contract_id)
            entries = await self._entries(trade, twin, story)
        except (ChannelError, KeysError) as damage:
            # One database row that was tampered with holds up no other contract.
            _log.error("twin_damaged", contract=short_id(contract_id), reason=str(damage))
            return
        if entries:
            await self._core.storage.memory.keep(entries)

    async def _entries(self, trade: Trade, twin: Twin, story: NetStory | None) -> list[RequestedTwinEntry]:
        """What is to be written: of a contract on the chain, or of a netted one."""
        logs = self._logs(twin)
        story = await self.stories.agreed(story, logs) if story is not None else None
        entries = []
        for signer in self._authors(twin):
            own = (*records_of(trade), *progress_of(trade, signer.address))
            if story is not None:
                own = net_records(story, signer.address)
            for record in missing(own, [told.content for told in logs.log(signer.address)]):
                entries.append(await self._entry(logs, signer, encode_record(record)))
        return entries

    async def _entry(self, logs: Logs, signer: LocalSigner, content: bytes) -> RequestedTwinEntry:
        now, domain = self._core.clock.now(), self._domain()
        # An instance for each entry: after a write that failed nobody knows whether it reached the disk, and a number
        # may be sealed once by each instance.
        draft = logs.draft(signer.address, os.urandom(16), content, now)
        signature = await signer.sign_message(draft.statement(), domain)
        entry = replace(draft, signature=signature).encode()
        logs.accept(entry)
        return RequestedTwinEntry(logs.trade, entry, now)

    async def _open(self, terms: Made | NetStory, contract_id: bytes) -> bool:
        """At the market whose contract it is: draws the key and invites both partners."""
        if self._holders.market is None:
            return False
        orders = await self._core.storage.views.many(Order, (terms.offer, terms.request))
        peers = [orders[each].peer for each in (terms.offer, terms.request) if each in orders and orders[each].terms]
        if len(peers) != 2:
            return False  # another market's contract, or orders that this node never saw
        known = [peer for peer in peers if peer is not None]  # an asset without a node is no guest
        core, operator, own = self._core, self._holders.market.operator, self._own
        secret = _Secret(contract_id, operator, tuple(sorted({operator, terms.seller, terms.buyer})))
        guests = tuple({peer.sealing_key: peer for peer in known if peer.sealing_key != own.sealing_key}.values())
        invited = [secret.invitation(guest, (own, *(g for g in guests if g != guest))) for guest in guests]
        event = RequestedTwin(
            contract_id, operator, secret.sealed(own), secret.parties, guests, tuple(invited), core.clock.now()
        )
        await core.storage.memory.keep([event])
        return True

    @property
    def _own(self) -> Peer:
        core = self._core
        return Peer(core.signer.address, core.public_url, core.keys.sealing.public_bytes)

    def _authors(self, twin: Twin) -> Iterator[LocalSigner]:
        """The accounts of this node that are parties of the twin."""
        market, asset = self._holders.market, self._holders.asset
        if market is not None and market.operator == twin.operator:
            yield self._core.keys.identity.wallet()
        if asset is not None:
            signer = asset.account(twin.operator)
            if signer.address in twin.parties:
                yield signer

    # Reading

    def _domain(self) -> m.Domain:
        assert self._core.chain.market is not None  # noqa: S101 (there are no twins without one)
        return m.market_domain(self._core.settings.chain.chain_id, self._core.chain.market.address)

    def _logs(self, twin: Twin) -> Logs:
        """The logs as they are kept; each entry is checked again, so a changed database says nothing."""
        logs = Logs(twin.contract_id, self._key(twin), twin.parties, self._domain())
        for entry in twin.entries:
            with suppress(TwinForked):  # two that came at once: the first stands, and both are in the twin as evidence
                logs.accept(entry)
        return logs

    def _key(self, twin: Twin) -> bytes:
        """A contract's logs are opened some ten times in its life, most of them soon after each other."""
        place = (twin.contract_id, twin.sealed_key)
        key = self._keys.get(place)
        if key is None:
            key = open_sealed(self._core.keys.sealing, twin.sealed_key, self._info(twin.contract_id))
            self._keys[place] = key
            if len(self._keys) > _KEYS_AT_HAND:
                del self._keys[next(iter(self._keys))]
        return key

    async def logs(self, contract_id: bytes) -> tuple[Twin, Logs | None]:
        """A twin as it stands, and its opened logs; None where it was not opened here. Raises ChannelError."""
        twin = await self._core.storage.views.one(Twin, contract_id)
        return twin, None if twin.status is TwinStatus.NONE else self._logs(twin)

    def _info(self, contract_id: bytes) -> bytes:
        return _context(contract_id, self._core.keys.sealing.public_bytes)

    # Parcels

    async def _take_twin(self, parcel: Parcel) -> Kept:
        """A twin that the market opened, or that the own gateway passes on."""
        body = TwinOpened.model_validate(parcel.body)
        core = self._core
        try:
            key = open_sealed(core.keys.sealing, body.sealed_key, self._info(body.trade))
        except KeysError as error:
            raise Refused("The key of the twin does not open here.", field="sealed_key") from error
        holders = tuple(Peer(each.address, each.url, each.sealing_key) for each in body.holders)
        watchers: tuple[Peer, ...] = ()
        home = self._holders.home
        if home is not None and await home.device_of(parcel.sender) is not None:
            holders = ()  # the household writes nothing, so nobody waits for its entries
        else:
            await self._check_partner(parcel, body)
            owner = await self._holders.gateway.owner_peer() if self._holders.gateway is not None else None
            watchers = (owner,) if owner is not None else ()
        secret = _Secret(body.trade, body.operator, body.parties, key)
        event = ReceivedTwin(
            body.trade,
            body.operator,
            body.sealed_key,
            body.parties,
            holders,
            watchers,
            tuple([secret.invitation(each, (self._own, *holders)) for each in watchers]),
            core.clock.now(),
        )
        return Kept((event,))

    async def _check_partner(self, parcel: Parcel, body: TwinOpened) -> None:
        """It is the market that opens it, for a contract of ours that is final, and for its parties alone."""
        asset = self._holders.asset
        if asset is None or parcel.sender != body.operator or body.operator not in await asset.markets():
            raise Refused("A twin is opened by the market that this asset trades in.", field="operator")
        trade = await self._core.storage.views.one(Trade, body.trade)
        terms = trade.terms if trade.settled else await self.stories.one(body.trade)
        if terms is None:
            raise Busy("The contract is not final here yet.", remedy="It is tried again.")
        if set(body.parties) != {body.operator, terms.seller, terms.buyer}:
            raise Refused("The parties of the twin are not those of the contract.", field="parties")
        if asset.account(body.operator).address not in body.parties:
            raise Refused("The contract is between others.", field="parties")

    async def _take_entry(self, parcel: Parcel) -> Kept:
        """Anybody may bring an entry: its author's signature counts."""
        body = TwinEntrySent.model_validate(parcel.body)
        now = self._core.clock.now()
        try:
            twin, logs = await self.logs(body.trade)
            if logs is None:
                raise Busy("The twin was not opened here yet.", remedy="It is tried again.")
            told = logs.accept(body.entry)
        except TwinForked as fork:
            first, second = fork.entries
            author = TwinEntry.decode(second).author
            _log.error("twin_forked", contract=short_id(body.trade), author=author.hex(), reason=str(fork))
            return Kept((ReceivedTwinFork(body.trade, first, second, now),))
        except NotYet as gap:
            raise Busy(f"The entry came too early: {gap}.", remedy="It is tried again.") from gap
        except (ChannelError, KeysError) as error:
            raise Refused(f"The entry was not accepted: {error}.", field="entry") from error
        if told is None:
            return Kept()  # held already, maybe with another signature under the same words
        if told.entry.seq > MOST_ENTRIES or len(told.content) > LONGEST_RECORD:
            raise Refused("No contract has that much to tell.", field="entry")
        return Kept((ReceivedTwinEntry(twin.contract_id, body.entry, now),))

    async def _take_anchor(self, parcel: Parcel) -> Kept:
        """From the market, or from the own gateway: its paths lead to the root, and that is compared with the chain."""
        body = TwinAnchored.model_validate(parcel.body)
        twin, home = await self._core.storage.views.one(Twin, body.trade), self._holders.home
        if twin.status is TwinStatus.NONE:
            raise Busy("The twin was not opened here yet.", remedy="It is tried again.")
        from_gateway = home is not None and await home.device_of(parcel.sender) is not None
        if twin.own or (parcel.sender != twin.operator and not from_gateway):
            raise Refused("Only the market tells what it anchored.", field="trade")
        known = {each for anchor in twin.anchors for each in anchor.hashes}
        if len(set(body.hashes)) != len(body.hashes) or known.intersection(body.hashes):
            raise Refused("These entries have a root already.", field="hashes")
        anchor = TwinAnchor(body.root, body.height, body.hashes, body.paths)
        if not proven(anchor):
            raise Refused("The paths do not lead to the root.", field="paths")
        held = {TwinEntry.decode(entry).hash for entry in twin.entries}
        if not held.issuperset(body.hashes):
            raise Busy("Some of these entries are not here yet.", remedy="It is tried again.")
        return Kept((ReceivedTwinAnchor(body.trade, anchor, self._core.clock.now()),))


def _context(contract_id: bytes, public: bytes) -> bytes:
    return b"wattpact twin key" + contract_id + reader_key_hash(public)


@dataclass(frozen=True, slots=True)
class _Secret:
    """A twin's key on its way to its holders. Drawn where none is given."""

    contract_id: bytes
    operator: bytes
    parties: tuple[bytes, ...]
    key: bytes = field(default_factory=lambda: os.urandom(_KEY_BYTES), repr=False)

    def sealed(self, peer: Peer) -> bytes:
        return seal(peer.sealing_key, self.key, _context(self.contract_id, peer.sealing_key))

    def invitation(self, peer: Peer, holders: Iterable[Peer]) -> Invitation:
        """For one peer, and who else holds the twin."""
        body = TwinOpened(
            trade=self.contract_id,
            operator=self.operator,
            parties=self.parties,
            holders=tuple(TwinHolder(address=h.address, url=h.url, sealing_key=h.sealing_key) for h in holders),
            sealed_key=self.sealed(peer),
        )
        return Invitation(peer, canonical(body.to_json()))
