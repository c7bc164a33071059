"""The frozen record of a run: what went over the wire, what the chain showed, what the meter said, what thieves took.

Nothing in here is an opinion of the product about itself, except the listings of `Rebuild` and the readings of
`Provider`, which are the things to be judged. The checks are functions of this record alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

__all__ = [
    "Block",
    "Evidence",
    "Harvest",
    "Heard",
    "Log",
    "Outage",
    "Provider",
    "Reading",
    "Rebuild",
    "Receipt",
    "Setting",
    "Settlement",
    "Share",
    "Telegram",
    "WalletSignature",
]


@dataclass(frozen=True, slots=True)
class Heard:
    """One PUBLISH that a node sent to the broker. `at`: wall clock in seconds; `key`: grant id of a keyed topic."""

    at: float
    client: str
    kind: str
    sid: bytes
    key: bytes
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """One log of the registry as the chain's node returned it."""

    transaction: bytes
    topics: tuple[bytes, ...]
    data: bytes

    def word(self, index: int) -> int:
        """The 32-byte word `index` of the data as an integer."""
        return int.from_bytes(self.data[32 * index : 32 * index + 32], "big")

    def word_bytes(self, index: int) -> bytes:
        """The 32-byte word `index` of the data."""
        return self.data[32 * index : 32 * index + 32]


@dataclass(frozen=True, slots=True)
class Block:
    """A block that was head or below it at some time. `seen_at`: wall clock when it was first seen."""

    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    seen_at: float
    logs: tuple[Log, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one transaction to the registry cost. `selector`: the first four bytes of its calldata."""

    gas: int
    selector: bytes
    ok: bool


@dataclass(frozen=True, slots=True)
class Telegram:
    """One line of the truth file. `registers` in Wh and `power` in W by OBIS code; `gas` is (capture time, dm3)."""

    at: int
    registers: Mapping[str, int]
    power: Mapping[str, int]
    gas: tuple[int, int]
    whole: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading as a node shows it over REST: `time` is the meter time."""

    time: int
    slot: int
    epoch: int
    seq: int
    values: Mapping[str, int]
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: who it is on chain, what it was granted (None: nothing), and all readings that it ended up with."""

    letter: str
    grant_id: bytes | None = None
    readings: Mapping[bytes, tuple[Reading, ...]] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Harvest:
    """Everything secret that a provider had on its disk at any look.

    `secrets` are 32-byte values that stood by themselves, `material` byte strings (decrypted states) that hold secrets
    at unknown places, `seeds` what may be a private sealing key, `looks` how often somebody looked.
    """

    letter: str
    secrets: frozenset[bytes] = frozenset()
    material: frozenset[bytes] = frozenset()
    seeds: frozenset[bytes] = frozenset()
    looks: int = 0


@dataclass(frozen=True, slots=True)
class Outage:
    """A process or service that was away from `start` to `end` (wall clock); `exit_code` as the system reports it."""

    who: str
    start: float
    end: float
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What a node listed before its database was deleted and after it came back without one; `had` and `has`: all the
    readings that it showed, by stream."""

    who: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    had: Mapping[bytes, tuple[Reading, ...]] = field(default_factory=dict)
    has: Mapping[bytes, tuple[Reading, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WalletSignature:
    """A consent that an external wallet signed: the digest as that wallet computed it, and the wallet's address."""

    digest: bytes
    signer: bytes


@dataclass(frozen=True, slots=True)
class Setting:
    """What the demo itself chose or was told before the story: ids, addresses, times in seconds UTC."""

    chain_id: int
    registry: bytes
    separator: bytes
    owner: bytes
    device: bytes
    genesis: int
    slot_seconds: int
    live_from: int
    equipment: str
    names: Mapping[bytes, str]


@dataclass(frozen=True, slots=True)
class Share:
    """A shareholder as the token shows it at the end: shares, mWh that were claimed, mWh that can be."""

    holder: bytes
    shares: int
    balance: int
    claimable: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """The second half as the chain shows it: `logs` by contract in chain order, and balances read at the end.

    `wallets`, `books`: money of accounts in their wallets and in the market's book; `given`: what the demo made for
    each. `meters`: what each household's meter said, by its device's address. `orders`: limits as the households chose
    them, by order id: (offers?, Wh, price); `delivery` is the time of all of them.
    """

    energy: bytes
    market: bytes
    source: int
    seller: bytes
    buyer: bytes
    logs: tuple[tuple[bytes, Log], ...] = ()
    shares: tuple[Share, ...] = ()
    supply: int = 0
    wallets: Mapping[bytes, int] = field(default_factory=dict)
    books: Mapping[bytes, int] = field(default_factory=dict)
    given: Mapping[bytes, int] = field(default_factory=dict)
    vault: int = 0
    orders: Mapping[bytes, tuple[bool, int, int]] = field(default_factory=dict)
    delivery: tuple[int, int] = (0, 0)
    made: tuple[Telegram, ...] = ()
    used: tuple[Telegram, ...] = ()


@dataclass(frozen=True, eq=False)
class Evidence:
    """The whole record. `blocks` in the order they were seen, removed ones included; `head` is where the run ended.

    `moments`: "start", "revoke" (the demo asked the home for it), "read" (the providers' readings were fetched), "end".
    """

    setting: Setting
    heard: tuple[Heard, ...] = ()
    blocks: tuple[Block, ...] = ()
    head: bytes = b""
    receipts: Mapping[bytes, Receipt] = field(default_factory=dict)
    truth: tuple[Telegram, ...] = ()
    providers: Mapping[str, Provider] = field(default_factory=dict)
    harvests: Mapping[str, Harvest] = field(default_factory=dict)
    moments: Mapping[str, float] = field(default_factory=dict)
    outages: tuple[Outage, ...] = ()
    rebuilds: tuple[Rebuild, ...] = ()
    wallet: WalletSignature | None = None
    settlement: Settlement | None = None

    @cached_property
    def canonical(self) -> tuple[Block, ...]:
        """The blocks of the chain that ends in `head`, oldest first."""
        known = {block.hash: block for block in self.blocks}
        chain: list[Block] = []
        at = known.get(self.head)
        while at is not None:
            chain.append(at)
            at = known.get(at.parent)
        return tuple(reversed(chain))

    def sid(self, name: str) -> bytes:
        """The stream of a name; KeyError without one."""
        return {found: sid for sid, found in self.setting.names.items()}[name]
