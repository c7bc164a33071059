"""The EIP-712 messages as frozen types, by the contract that takes them.

Addresses are 20 bytes, ids and hashes 32 bytes, times integer seconds UTC. Source: EIP-712.
"""

from keys.eip712 import Domain
from keys.messages.base import Message, digest, recover, recover_digest, struct_values, typed_data, verify
from keys.messages.consent import (
    OPEN_END,
    Grant,
    PairDevice,
    RegisterKey,
    RegisterStream,
    Revoke,
    SetWriter,
    StreamCommit,
    TransferStream,
    UnpairDevice,
    registry_domain,
)
from keys.messages.energy import (
    ClaimEnergy,
    IssueShares,
    MeterReset,
    PauseSource,
    Permit,
    Reading,
    RegisterSource,
    TransferShares,
    dev_token_domain,
    energy_domain,
)
from keys.messages.offchain import ParcelSeal, Statement, parcel_domain
from keys.messages.table import STRUCTS, from_typed_data

__all__ = [
    "OPEN_END",
    "STRUCTS",
    "ClaimEnergy",
    "Domain",
    "Grant",
    "IssueShares",
    "Message",
    "MeterReset",
    "PairDevice",
    "ParcelSeal",
    "PauseSource",
    "Permit",
    "Reading",
    "RegisterKey",
    "RegisterSource",
    "RegisterStream",
    "Revoke",
    "SetWriter",
    "Statement",
    "StreamCommit",
    "TransferShares",
    "TransferStream",
    "UnpairDevice",
    "dev_token_domain",
    "digest",
    "energy_domain",
    "from_typed_data",
    "parcel_domain",
    "recover",
    "recover_digest",
    "registry_domain",
    "struct_values",
    "typed_data",
    "verify",
]
