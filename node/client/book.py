"""What an asset signed, and what it was told and believed: without it, it could not tell a bill from a forgery. In a
file if one is named.

Orders stand there as they were signed; in a market that nets also the contracts that they allow, what was reported for
them, and what their netting left out as it was told first. An order that the market refused stands there no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from node.client.link import Place
from node.client.rows import RowFile
from node.errors import CallerError, Refused
from node.services.asset.rules import Ordered
from node.wire.refusals import read_refusal
from node.wire.settlement import NetLeftOut

__all__ = ["Netted", "OrderBook", "Placed", "SignedLeft"]

DAY_S: Final = 86_400
_IDS: Final = ("order", "request", "seller", "buyer")


@dataclass(frozen=True, slots=True)
class Placed:
    """Under which terms (bytes32) and for which delivery an order was signed: [start, end), seconds UTC."""

    terms: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Netted:
    """A netted contract that an own order allows. `order`: that order's id; `said`: Wh that this asset reported;
    `counted`: Wh that count and what is due for them, by the market's word as far as it fits."""

    contract: bytes
    order: bytes
    request: bytes
    seller: bytes
    buyer: bytes
    wh: int
    price: int
    start: int
    said: int | None = None
    counted: tuple[int, int] | None = None

    @property
    def day(self) -> int:
        return self.start // DAY_S


@dataclass(frozen=True, slots=True)
class SignedLeft:
    """What was signed for a line that was left out: the order's id, under which terms, and when (seconds UTC)."""

    order: bytes
    terms: bytes
    at: int


class OrderBook:
    """Requests and offers by id, netted contracts by id, lines that were left out by leaf."""

    def __init__(self, path: Path | None = None) -> None:
        self._file = RowFile(path)
        self._orders: dict[bytes, Ordered] = {}
        self._placed: dict[bytes, Placed] = {}
        self._agreed: set[bytes] = set()
        self.netted: dict[bytes, Netted] = {}
        self.lines: dict[bytes, NetLeftOut] = {}
        """As they were told first."""
        self.signed: dict[bytes, SignedLeft] = {}
        self._taken: dict[bytes, int] = {}
        self._lines: dict[tuple[bytes, bytes, bytes, int, int], set[bytes]] = {}
        for row in self._file.rows():
            try:
                self._read(row)
            except (ValueError, KeyError, TypeError) as error:
                raise self._file.strange() from error

    def _read(self, row: Mapping[str, Any]) -> None:
        match row.get("kind", "order"):
            case "order":
                ordered = Ordered(_raw(row["id"]), _raw(row["account"]), int(row["wh"]), int(row["price"]))
                self._orders[ordered.order_id] = ordered
                if row.get("agreed") is True:
                    self._agreed.add(ordered.order_id)
                if "terms" in row:
                    self._placed[ordered.order_id] = Placed(_raw(row["terms"]), int(row["start"]), int(row["end"]))
            case "refused":
                self._forget(_raw(row["id"]))
            case "netted":
                contract, order, request, seller, buyer = [_raw(row[name]) for name in ("id", *_IDS)]
                numbers = int(row["wh"]), int(row["price"]), int(row["start"])
                self._put(Netted(contract, order, request, seller, buyer, *numbers))
            case "said":
                self._put(replace(self.netted[_raw(row["id"])], said=int(row["wh"])))
            case "counted":
                self._put(replace(self.netted[_raw(row["id"])], counted=(int(row["wh"]), int(row["due"]))))
            case "left":
                body = NetLeftOut.model_validate(row["body"])
                self.lines[bytes(body.leaf)] = body
            case "signed":
                self.signed[_raw(row["leaf"])] = SignedLeft(_raw(row["order"]), _raw(row["terms"]), int(row["at"]))
            case kind:
                raise ValueError(kind)

    # Orders

    def add(self, order: Ordered, *, agreed: bool = False, placed: Placed | None = None) -> None:
        """On disk when it returns. `agreed`: what it is for was delivered before, and nobody measures it again."""
        row = {
            "id": order.order_id.hex(),
            "account": order.account.hex(),
            "wh": order.wh,
            "price": order.price,
            "agreed": agreed,
        }
        if placed is not None:
            row |= {"terms": placed.terms.hex(), "start": placed.start, "end": placed.end}
            self._placed[order.order_id] = placed
        self._file.append(row)
        self._orders[order.order_id] = order
        if agreed:
            self._agreed.add(order.order_id)

    @contextmanager
    def placing(
        self, order: Ordered, place: Place, chain_id: int, now: int, *, agreed: bool, placed: Placed | None = None
    ) -> Iterator[None]:
        """The order stands, unless what is done here ends with this market's no to it: signed by its operator, or it
        may be somebody else's, and the bill for it is still to be paid."""
        self.add(order, agreed=agreed, placed=placed)
        try:
            yield
        except CallerError as refused:
            with suppress(Refused):
                reason = read_refusal(refused.proof, order.order_id, place.operator, chain_id, now)
                self._file.append({"kind": "refused", "id": order.order_id.hex(), "reason": reason})
                self._forget(order.order_id)
            raise

    def _forget(self, order_id: bytes) -> None:
        self._orders.pop(order_id, None)
        self._placed.pop(order_id, None)
        self._agreed.discard(order_id)

    def agreed(self, order_id: bytes) -> bool:
        return order_id in self._agreed

    def get(self, order_id: bytes) -> Ordered | None:
        return self._orders.get(order_id)

    def placed(self, order_id: bytes) -> Placed | None:
        """None for an order of a file from before that was kept."""
        return self._placed.get(order_id)

    # Netting

    def taken(self, order_id: bytes) -> int:
        """Wh of an order that are netted contracts already."""
        return self._taken.get(order_id, 0)

    def take(self, *contracts: Netted) -> None:
        """Contracts that are believed from now on."""
        rows = []
        for each in contracts:
            self._put(each)
            row = {"kind": "netted", "id": each.contract.hex(), **{name: getattr(each, name).hex() for name in _IDS}}
            rows.append({**row, "wh": each.wh, "price": each.price, "start": each.start})
        self._file.append(*rows)

    def say(self, contract: bytes, wh: int) -> None:
        """What this asset reports for a contract."""
        self._file.append({"kind": "said", "id": contract.hex(), "wh": wh})
        self._put(replace(self.netted[contract], said=wh))

    def count(self, found: Mapping[bytes, tuple[int, int]]) -> None:
        """Wh that count of contracts, and what is due."""
        rows = [{"kind": "counted", "id": key.hex(), "wh": wh, "due": due} for key, (wh, due) in found.items()]
        self._file.append(*rows)
        for key, counted in found.items():
            self._put(replace(self.netted[key], counted=counted))

    def for_line(self, request: bytes, seller: bytes, buyer: bytes, price: int, day: int) -> list[Netted]:
        """The contracts that are one line of a day: all that a request takes of a seller at a price."""
        found = self._lines.get((request, seller, buyer, price, day), set())
        return [self.netted[key] for key in sorted(found)]

    def _put(self, netted: Netted) -> None:
        if netted.contract not in self.netted:
            self._taken[netted.order] = self._taken.get(netted.order, 0) + netted.wh
            key = netted.request, netted.seller, netted.buyer, netted.price, netted.day
            self._lines.setdefault(key, set()).add(netted.contract)
        self.netted[netted.contract] = netted

    # What was left out

    def left(self, lines: Iterable[NetLeftOut]) -> None:
        """Lines as they are believed: what is told of them later is compared with that."""
        fresh = [line.model_copy(update={"sales": ()}) for line in lines]
        self._file.append(*({"kind": "left", "body": line.to_json()} for line in fresh))
        self.lines |= {bytes(line.leaf): line for line in fresh}

    def sign(self, leaf: bytes, signed: SignedLeft) -> None:
        """An order for a line is about to be sent."""
        row = {"kind": "signed", "leaf": leaf.hex(), "order": signed.order.hex()}
        self._file.append({**row, "terms": signed.terms.hex(), "at": signed.at})
        self.signed[leaf] = signed


def _raw(text: str) -> bytes:
    return bytes.fromhex(text)
