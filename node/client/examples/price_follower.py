"""A flexible load that follows a price signal: it asks for its energy where that is cheapest, uses it then, and pays.

    python -m node.client.examples.price_follower config.json

config.json: url, key (0x and 64 hex digits), chain_id, contract (0x...), wh (energy that is needed), and signal, a file
with the prices to come as a JSON list of {"start", "end", "price"}: times in seconds since 1970, price in minor units
per kWh, the most that is paid then. A real load would switch itself on where `meter` counts.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from keys.signers import open_signer
from node.client.market import MarketClient
from node.types import address_from_text
from node.wire.desk import DeskContract

__all__ = ["cheapest", "follow", "meter"]


def meter(contract: DeskContract) -> int | None:
    """What was used for a contract: all of it, once its time is over."""
    return contract.wh if time.time() >= contract.end else None


def cheapest(signal: Path) -> dict[str, int]:
    """The time to come with the lowest price."""
    slots: list[dict[str, int]] = json.loads(signal.read_text())
    return min((slot for slot in slots if slot["start"] > time.time()), key=lambda slot: slot["price"])


async def follow(config: dict[str, str | int]) -> None:
    signer = open_signer(f"memory:{config['key']}")
    contract, orders = bytes(address_from_text(str(config["contract"]))), Path("orders.jsonl")
    async with MarketClient(str(config["url"]), signer, int(config["chain_id"]), contract, orders=orders) as market:
        await market.deposit((await market.money()).wallet)
        best = cheapest(Path(str(config["signal"])))
        await market.request(int(config["wh"]), best["price"], best["start"], best["end"])
        print(f"asked for {config['wh']} Wh at {best['price']}", flush=True)
        while True:
            for each in await market.settle(meter):
                print(each.id.hex(), each.status, each.due, flush=True)
                if each.status == "confirmed":
                    return
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(follow(json.loads(Path(sys.argv[1]).read_text())))
