"""Types of the ConsentRegistry."""

from __future__ import annotations

from scripts.message_types import DEADLINE, ContractMessages

__all__ = ["CONSENT"]

CONSENT = ContractMessages(
    name="ConsentRegistry",
    domain="Wattpact ConsentRegistry",
    address="0x1234567890abcdef1234567890abcdef12345678",
    messages={
        "RegisterStream(address owner,bytes32 nameHash,address writer,bytes32 streamKeyHash,uint40 genesis,"
        f"uint32 slotSeconds,{DEADLINE})": ("owner", "writer"),
        f"SetWriter(address owner,bytes32 sid,address writer,bytes32 streamKeyHash,{DEADLINE})": ("owner", "writer"),
        f"PairDevice(address owner,bytes32 deviceHash,{DEADLINE})": ("owner", "device"),
        f"UnpairDevice(address account,bytes32 deviceHash,bytes32[] sids,{DEADLINE})": ("account",),
        "Grant(address owner,address reader,bytes32 readerKeyHash,bytes32[] sids,uint40 start,uint40 end,"
        f"uint32 purposeTag,bytes32 textHash,{DEADLINE})": ("owner",),
        "Revoke(address account,bytes32 grantId,bytes32 sid)": ("account",),
        f"RegisterKey(address reader,bytes32 grantId,bytes32 readerKeyHash,{DEADLINE})": ("reader",),
        "StreamCommit(bytes32 sid,uint64 epoch,bytes32 commitHash)": ("writer",),
        f"TransferStream(address owner,address newOwner,bytes32 sid,{DEADLINE})": ("owner", "newOwner"),
    },
)
