"""The assets of a household: set up, looked at, paused, continued, retired, from the home (M-72 to M-79)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from pydantic import ConfigDict, Field, JsonValue

from node.api.operations import Call, Operation, Parameter
from node.api.values import AddressHex, Form, View
from node.api.views import ActionView, Items
from node.errors import InvalidInput, NotFound
from node.types import address_from_text
from node.wire.assets import IMAGE, MAX_IMAGE

__all__ = [
    "ASSET_OPERATIONS",
    "AssetForm",
    "AssetTotalsView",
    "AssetView",
    "AssetsFacade",
    "FundForm",
    "WalletView",
    "WithdrawalForm",
]

_EXAMPLE: dict[str, JsonValue] = {
    "market": "https://market.example:8750",
    "role": "producer",
    "offer_price": 200,
    "limit_price": 0,
    "min_offer_wh": 500,
    "name": "Roof",
}
_Words = Field(default="", max_length=200)


class AssetForm(Form):
    """How the paired gateway's asset trades from now on (M-74, M-78). Prices in minor units per kWh."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    market: str = Field(pattern=r"^https?://", max_length=512, description="address of the market's node")
    role: Literal["producer", "consumer", "prosumer"] = "prosumer"
    carrier: Literal["electric", "thermal"] = "electric"
    offer_price: int = Field(ge=0, lt=2**80, description="the least that it takes for a kWh (A-3)")
    limit_price: int = Field(ge=0, lt=2**80, description="the most that it pays for a kWh (A-3)")
    min_offer_wh: int = Field(gt=0, lt=2**63, description="the smallest lot in Wh")
    delivery_s: int = Field(default=900, ge=60, le=86_400, description="length of a delivery")
    running: bool = Field(default=True, description="whether it trades at once")
    dashboard: bool = Field(default=False, description="whether the jobs of the asset's node are shown")
    name: str = _Words
    area: str = _Words
    location: str = _Words
    description: str = Field(default="", max_length=2_000)
    image: str = Field(
        default="", max_length=MAX_IMAGE, pattern=IMAGE, description="a small picture as a data URL: PNG, JPEG or WebP"
    )


class FundForm(Form):
    """Money of the main wallet for an asset's wallet."""

    amount: int = Field(gt=0, lt=2**88, description="minor units")


class WithdrawalForm(Form):
    """Money of the main wallet for any account; what went to a wrong one does not come back."""

    receiver: AddressHex
    amount: int = Field(gt=0, lt=2**88, description="minor units")


class AssetTotalsView(View):
    """What an asset's contracts came to so far (M-76)."""

    contracts: int = Field(description="all, whatever became of them")
    produced_wh: int = Field(description="delivered to others")
    consumed_wh: int = Field(description="taken from others")
    income: int = Field(description="minor units owed for what was delivered")
    cost: int = Field(description="minor units owed for what was taken")
    mean_price: int | None = Field(description="minor units per kWh over both, rounded down; null without energy")


class AssetView(View):
    """An asset of this household. Money is null until the asset has told its account; words are gone with its key."""

    device: AddressHex
    name: str
    role: str
    carrier: str
    status: str
    market: str
    area: str
    location: str
    description: str
    offer_price: int
    limit_price: int
    min_offer_wh: int
    delivery_s: int
    image: str
    dashboard: bool
    operator: AddressHex | None
    account: AddressHex | None
    wallet: int | None = Field(description="minor units in the account's wallet")
    balance: int | None = Field(description="minor units in the market's book, without what is reserved")
    totals: AssetTotalsView | None


class WalletView(View):
    """The household's main wallet (M-73)."""

    account: AddressHex
    balance: int = Field(description="minor units")
    symbol: str = Field(description="what the market's money is called")
    decimals: int = Field(description="minor units are the money times ten to this power")
    test_money: bool = Field(description="on a devnet money can be made from nothing")


class AssetsFacade(Protocol):
    """Errors as in `node.api.facade`."""

    async def assets(self) -> tuple[AssetView, ...]: ...

    async def asset(self, device: bytes) -> AssetView: ...

    async def configure(self, form: AssetForm) -> AssetView: ...

    async def change(self, device: bytes, status: str) -> AssetView: ...

    async def fund(self, device: bytes, form: FundForm) -> ActionView: ...

    async def wallet(self) -> WalletView: ...

    async def withdraw(self, form: WithdrawalForm) -> ActionView: ...

    async def test_money(self, form: FundForm) -> ActionView: ...


def _facade(call: Call) -> AssetsFacade:
    found = getattr(call.settlement, "assets", None)
    if found is None:
        raise NotFound("This node has no assets.")
    facade: AssetsFacade = found
    return facade


def _device(call: Call) -> bytes:
    try:
        return bytes(address_from_text(call.values["device"]))
    except ValueError as error:
        raise InvalidInput(f"device {error}.", field="device") from None


async def _assets(call: Call) -> Items[AssetView]:
    return Items(items=await _facade(call).assets())


async def _asset(call: Call) -> AssetView:
    return await _facade(call).asset(_device(call))


async def _configure(call: Call) -> AssetView:
    return await _facade(call).configure(call.form(AssetForm))


async def _fund(call: Call) -> ActionView:
    return await _facade(call).fund(_device(call), call.form(FundForm))


async def _wallet(call: Call) -> WalletView:
    return await _facade(call).wallet()


async def _withdraw(call: Call) -> ActionView:
    return await _facade(call).withdraw(call.form(WithdrawalForm))


async def _test_money(call: Call) -> ActionView:
    return await _facade(call).test_money(call.form(FundForm))


def _to(status: str) -> Callable[[Call], Awaitable[AssetView]]:
    async def change(call: Call) -> AssetView:
        return await _facade(call).change(_device(call), status)

    return change


_API = "/api/v1/assets"
_DEVICE = Parameter("device", "text", "address of the asset's gateway", "path")

# fmt: off
ASSET_OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", _API, "listAssets", "read", "Assets of this household (home, M-72)", _assets, Items[AssetView],
              tag="assets"),
    Operation("POST", _API, "configureAsset", "admin", "Set the paired gateway's asset up, or change it (home, M-74)",
              _configure, AssetView, AssetForm, 201, tag="assets"),
    Operation("GET", "/api/v1/wallet", "getWallet", "read", "Main wallet of the household (M-73)", _wallet, WalletView,
              tag="assets"),
    Operation("POST", "/api/v1/wallet/withdrawals", "withdrawFromWallet", "admin",
              "Money of the main wallet for any account (home, M-73)", _withdraw, ActionView, WithdrawalForm, 202,
              tag="assets"),
    Operation("POST", "/api/v1/wallet/test-money", "makeTestMoney", "admin",
              "Money from nothing for the main wallet, on a devnet (M-73)", _test_money, ActionView, FundForm, 202,
              tag="assets"),
    Operation("GET", f"{_API}/{{device}}", "getAsset", "read", "One asset and what its contracts came to (M-76)",
              _asset, AssetView, tag="assets", parameters=(_DEVICE,)),
    Operation("POST", f"{_API}/{{device}}/fund", "fundAsset", "admin",
              "Money of the main wallet for the asset's wallet, by hand (M-62)", _fund, ActionView, FundForm, 202,
              tag="assets", parameters=(_DEVICE,)),
    Operation("POST", f"{_API}/{{device}}/pause", "pauseAsset", "admin", "It offers and asks for nothing more (M-77)",
              _to("paused"), AssetView, tag="assets", parameters=(_DEVICE,)),
    Operation("POST", f"{_API}/{{device}}/continue", "continueAsset", "admin", "It trades again (M-77)",
              _to("running"), AssetView, tag="assets", parameters=(_DEVICE,)),
    Operation("POST", f"{_API}/{{device}}/retire", "retireAsset", "admin",
              "It is over for good; its personal words are erased by their key (M-77, A-30)", _to("retired"),
              AssetView, tag="assets", parameters=(_DEVICE,)),
)
# fmt: on
