"""An example of every body that the API takes, for its description. Each is one that its model accepts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

__all__ = ["EXAMPLES"]

_MARKET: Final = "https://market.example:8750"
_ACCOUNT: Final = "0x" + "0a" * 20
_OTHER: Final = "0x" + "0b" * 20
_HASH: Final = "0x" + "0c" * 32
_TEXT: Final[dict[str, JsonValue]] = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}],
        "Revoke": [{"name": "account", "type": "address"}],
    },
    "primaryType": "Revoke",
    "domain": {"name": "Wattpact Consent"},
    "message": {"account": _ACCOUNT},
}

EXAMPLES: Final[Mapping[str, JsonValue]] = MappingProxyType(
    {
        "AckForm": {"seq": 812},
        "AllowanceForm": {
            "account": _ACCOUNT, "operator": _OTHER, "per_day": 50_000, "per_contract": 5_000,
            "valid_until": 1_893_456_000, "total": 500_000,
        },
        "ConsentRequestForm": {
            "home": "https://home.example:8750", "streams": ["electricity/15min"], "purpose": "Advice on saving energy",
        },
        "DenyForm": {"reason": "Not now."},
        "DepositForm": {"market": _MARKET, "amount": 5_000_000},
        "DeskQuestion": {
            "account": _ACCOUNT, "nonce": _HASH, "signed_at": 1_767_225_600, "signature": "0x" + "0d" * 65,
            "money": True,
        },
        "DisputeForm": {"reason": "The meter stood still from 12:00 on."},
        "ErasePastForm": {"before": 1_767_225_600, "reason": "We moved."},
        "EraseForm": {"reason": "The contract is over."},
        "FundForm": {"amount": 5_000},
        "GrantForm": {"streams": ["electricity/15min"], "end": 1_893_456_000},
        "GrantScope": {"streams": ["electricity/15min"]},
        "JoinForm": {"market": _MARKET},
        "LinkForm": {"scope": "read"},
        "MandateForm": {"market": _MARKET, "most_a_day": 50_000, "valid_until": 1_893_456_000},
        "OrderForm": {
            "market": _MARKET, "side": "offer", "wh": 1_500, "price": 200, "start": 1_893_456_000,
            "end": 1_893_456_900, "area": "north", "energy": "thermal", "conditions": [{"energies": ["thermal"]}],
        },
        "PairForm": {"code": "7-amber-lake", "url": "http://192.168.1.7:8750"},
        "RelayForm": {"typed_data": _TEXT, "signatures": ["0x" + "0d" * 65]},
        "RevokeForm": {"sid": _HASH},
        "RevokeScope": {"sid": _HASH},
        "RulingForm": {"wh": 850},
        "ShareForm": {"source": 81_927, "receiver": _ACCOUNT, "shares": 250_000},
        "SourceForm": {"community": "https://community.example:8750", "max_power_w": 6_000},
        "SourceYesForm": {"digest": _HASH},
        "SubscriptionForm": {"name": "billing", "kinds": ["trade.final"]},
        "TokenForm": {"name": "heat meter", "scopes": ["asset:meter"], "lifetime_s": 31_536_000},
        "TransferForm": {"to": "https://new-home.example:8750"},
        "WebhookForm": {"url": "https://hooks.example/wattpact", "kinds": ["trade.final"]},
        "WithdrawForm": {"market": _MARKET, "amount": 5_000},
        "WithdrawalForm": {"receiver": _ACCOUNT, "amount": 5_000},
    }
)  # fmt: skip
"""By the name of the form."""
