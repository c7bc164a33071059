"""What is to be deployed: contracts in the order of their dependencies, with addresses and constructor arguments.

Everything here follows from the order alone, so that anybody can compute the same addresses beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from contracts.artifact import ENERGY, MONEY, REGISTRY, load_artifact
from contracts.bindings import allowances, energy_token, market, net_settlement
from contracts.create2 import DeploymentCall, deployment_call
from node.runtime.deployment.errors import BadOrder

__all__ = [
    "DEVNET_CHAIN",
    "DISPUTE_WINDOW",
    "NAMES",
    "WITHDRAW_WAIT",
    "Fact",
    "Order",
    "Step",
    "default_names",
    "make_plan",
]

_DAY: Final = 86_400
WITHDRAW_WAIT: Final = 14 * _DAY  # seconds; longer than claim, dispute and ruling of any terms
DISPUTE_WINDOW: Final = 3 * _DAY  # seconds that the credits of a netting wait

DEVNET_CHAIN: Final = 31337
_ANCHORS, _MARKET, _NETTING, _FUNDING = "Anchors", "Market", "NetSettlement", "Allowances"
NAMES: Final = (REGISTRY, MONEY, ENERGY, _ANCHORS, _MARKET, _NETTING, _FUNDING)
"""All contracts; each after those that it depends on."""

_NEEDS: Final = MappingProxyType({_MARKET: {_ANCHORS}, _NETTING: {_ANCHORS}, _FUNDING: {_ANCHORS, _MARKET}})
_OF_TOKEN: Final = frozenset({_MARKET, _NETTING, _FUNDING})
_ANSWER_TIME: Final = _DAY  # NetSettlement.ANSWER_TIME
_UINT32: Final = 1 << 32
_ZERO: Final = bytes(20)


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants deployed: names, addresses (20 bytes), waits in seconds, a salt (32 bytes)."""

    contracts: tuple[str, ...]
    registrar: bytes | None = None
    token: bytes | None = None
    withdraw_wait: int = WITHDRAW_WAIT
    dispute_window: int = DISPUTE_WINDOW
    salt: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class Fact:
    """What a deployed contract must answer: calldata of the question, and the 32-byte word of the answer."""

    what: str
    question: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """One contract; ``gas_bound`` is above what its deployment can use, for when the chain cannot estimate yet."""

    name: str
    arguments: bytes
    call: DeploymentCall
    facts: tuple[Fact, ...]
    gas_bound: int


def default_names(registrar: bytes | None, token: bytes | None) -> tuple[str, ...]:
    """Return everything that these arguments are enough for, DevToken excepted."""
    chosen = {REGISTRY} | ({ENERGY} if registrar else set()) | ({_ANCHORS, *_OF_TOKEN} if token else set())
    return tuple(name for name in NAMES if name in chosen)


def make_plan(order: Order, chain_id: int) -> tuple[Step, ...]:
    """Return the steps in order, with what the named contracts need besides. Raises BadOrder, ArtifactError."""
    unknown = sorted(set(order.contracts) - set(NAMES))
    if unknown or not order.contracts:
        raise BadOrder(f"Unknown contracts: {', '.join(unknown) or 'none named'}. Known: {', '.join(NAMES)}.")
    wanted = set(order.contracts).union(*(_NEEDS.get(name, set()) for name in order.contracts))
    _check(order, wanted, chain_id)
    return tuple(_step(order, name) for name in NAMES if name in wanted)


def _check(order: Order, wanted: set[str], chain_id: int) -> None:
    if MONEY in wanted and chain_id != DEVNET_CHAIN:
        raise BadOrder(
            f"{MONEY} is money that anybody can make: it belongs on a devnet (chain {DEVNET_CHAIN}), not {chain_id}.",
            remedy="Leave it out and name the token of the community with --token.",
        )
    if ENERGY in wanted and order.registrar in (None, _ZERO):
        raise BadOrder(
            f"{ENERGY} needs the address that admits sources.",
            remedy="Name it with --registrar; it cannot be changed later.",
        )
    if wanted & _OF_TOKEN and (order.token == _ZERO or (order.token is None and MONEY not in wanted)):
        raise BadOrder(
            f"{', '.join(sorted(wanted & _OF_TOKEN))} needs the token that is paid with.",
            remedy="Name it with --token; it cannot be changed later.",
        )
    if not (0 < order.withdraw_wait < _UINT32 and 0 < order.dispute_window < _UINT32):
        raise BadOrder("Waits are between one second and 136 years.")
    if _NETTING in wanted and order.withdraw_wait <= order.dispute_window + _ANSWER_TIME:
        raise BadOrder(
            f"{_NETTING} needs a withdraw wait of more than the dispute window and one day.",
            remedy="Raise --withdraw-wait-days, or lower --dispute-window-days.",
        )


def _step(order: Order, name: str) -> Step:
    arguments, facts = _made_with(order, name)
    call = deployment_call(name, order.salt, arguments)
    return Step(name, arguments, call, facts, _gas_bound(call.data, len(load_artifact(name).runtime_code)))


def _address_of(order: Order, name: str) -> bytes:
    return deployment_call(name, order.salt, _made_with(order, name)[0]).address


def _made_with(order: Order, name: str) -> tuple[bytes, tuple[Fact, ...]]:
    """Return a contract's constructor arguments and what it must answer afterwards."""
    maker = _MAKERS.get(name)
    return (b"", ()) if maker is None else maker(order)


def _energy(order: Order) -> tuple[bytes, tuple[Fact, ...]]:
    registrar = order.registrar or _ZERO
    known = Fact("registrar", energy_token.encode_registrar(), _word(registrar))
    return energy_token.encode_constructor(registrar), (known,)


def _trading(order: Order) -> tuple[bytes, tuple[Fact, ...]]:
    token, anchors = _token(order), _address_of(order, _ANCHORS)
    return market.encode_constructor(token, order.withdraw_wait, anchors), (
        Fact("token", market.encode_token(), _word(token)),
        Fact("withdraw wait", market.encode_withdraw_wait(), _word(order.withdraw_wait)),
        Fact("anchors", market.encode_anchors(), _word(anchors)),
    )


def _netting(order: Order) -> tuple[bytes, tuple[Fact, ...]]:
    token, anchors = _token(order), _address_of(order, _ANCHORS)
    arguments = net_settlement.encode_constructor(token, order.withdraw_wait, anchors, order.dispute_window)
    return arguments, (
        Fact("token", net_settlement.encode_token(), _word(token)),
        Fact("withdraw wait", net_settlement.encode_withdraw_wait(), _word(order.withdraw_wait)),
        Fact("anchors", net_settlement.encode_anchors(), _word(anchors)),
        Fact("dispute window", net_settlement.encode_dispute_window(), _word(order.dispute_window)),
    )


def _funding(order: Order) -> tuple[bytes, tuple[Fact, ...]]:
    trading = _address_of(order, _MARKET)
    return allowances.encode_constructor(trading), (Fact("market", allowances.encode_market(), _word(trading)),)


_MAKERS: Final[MappingProxyType[str, Callable[[Order], tuple[bytes, tuple[Fact, ...]]]]] = MappingProxyType(
    {ENERGY: _energy, _MARKET: _trading, _NETTING: _netting, _FUNDING: _funding}
)


def _token(order: Order) -> bytes:
    return order.token if order.token is not None else _address_of(order, MONEY)


def _word(value: bytes | int) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def _gas_bound(data: bytes, runtime: int) -> int:
    """EIP-2028 calldata, EIP-3860 words, EIP-170 bytes kept; what the constructors themselves do is below 150,000."""
    zeros = data.count(0)
    calldata = 4 * zeros + 16 * (len(data) - zeros)
    return 21_000 + 32_000 + calldata + 2 * -(-len(data) // 32) + 200 * runtime + 150_000
