"""The orders that an asset signed: without them it could not tell a bill from a forgery. In a file if one is named.

One JSON object a line, appended before the order is sent, so whatever was sent is known after a crash.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from node.errors import ConfigError
from node.services.asset.rules import Ordered

__all__ = ["OrderBook"]


class OrderBook:
    """Requests and offers by id."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._orders: dict[bytes, Ordered] = {}
        self._agreed: set[bytes] = set()
        if path is not None and path.exists():
            self._load(path)

    def _load(self, path: Path) -> None:
        lines = path.read_bytes().split(b"\n")
        # A crash in the midst of a line leaves one without its end: that order was never sent.
        for line in lines[:-1]:
            try:
                found = json.loads(line)
                order = Ordered(
                    bytes.fromhex(found["id"]), bytes.fromhex(found["account"]), int(found["wh"]), int(found["price"])
                )
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{path} is no file of orders.", remedy="Name another file.") from error
            self._orders[order.order_id] = order
            if found.get("agreed") is True:
                self._agreed.add(order.order_id)
        if lines[-1]:
            with path.open("r+b") as file:
                file.truncate(sum(len(line) + 1 for line in lines[:-1]))

    def add(self, order: Ordered, *, agreed: bool = False) -> None:
        """On disk when it returns. `agreed`: what it is for was delivered before, and nobody measures it again."""
        if self._path is not None:
            row = {
                "version": 1,
                "id": order.order_id.hex(),
                "account": order.account.hex(),
                "wh": order.wh,
                "price": order.price,
                "agreed": agreed,
            }
            with self._path.open("ab") as file:
                file.write(json.dumps(row).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        self._orders[order.order_id] = order
        if agreed:
            self._agreed.add(order.order_id)

    def agreed(self, order_id: bytes) -> bool:
        return order_id in self._agreed

    def get(self, order_id: bytes) -> Ordered | None:
        return self._orders.get(order_id)
