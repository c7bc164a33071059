"""Both states as JSON objects and back, so that a restart in the middle loses nothing.

What comes out holds secrets: it goes into sealed storage only. What comes in may be damaged: StateDamaged, never half
a state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from keys.errors import KeysError
from keys.messages import PairDevice
from node.services.pairing import wire
from node.services.pairing.code import SECRET_SIZE
from node.services.pairing.errors import PairingRefused, StateDamaged
from node.services.pairing.gateway_state import Claim, GatewayState, Meeting, Session
from node.services.pairing.home_machine import HomeState
from node.services.pairing.models import Pairing, PeerIdentity
from node.services.pairing.table import GatewayStatus, HomeStatus

__all__ = ["gateway_from_dict", "gateway_to_dict", "home_from_dict", "home_to_dict"]

_VERSION = 1
_MAX = 16384  # bytes of one field
Value = TypeVar("Value")


def _bytes(document: Mapping[str, Any], name: str) -> bytes:
    return wire.raw(document, name, 0, _MAX)


def _pairing_to_dict(pairing: Pairing) -> dict[str, Any]:
    return {
        "owner": wire.identity_document(pairing.owner),
        "device": wire.identity_document(pairing.device),
        "nonce": wire.to_json(pairing.message.nonce.to_bytes(32, "big")),
        "deadline": pairing.message.deadline,
        "device_hash": wire.to_json(pairing.message.device_hash),
        "salt": wire.to_json(pairing.salt),
        "owner_signature": wire.to_json(pairing.owner_signature),
        "device_signature": wire.to_json(pairing.device_signature),
    }


def _pairing_from_dict(document: Mapping[str, Any]) -> Pairing:
    owner = wire.identity_from(document["owner"])
    nonce = int.from_bytes(_bytes(document, "nonce"), "big")
    message = PairDevice(owner.account, _bytes(document, "device_hash"), nonce, wire.integer(document, "deadline"))
    return Pairing(
        owner,
        wire.identity_from(document["device"]),
        message,
        _bytes(document, "salt"),
        _bytes(document, "owner_signature"),
        _bytes(document, "device_signature"),
    )


def _optional(value: Any, read: Callable[[Any], Value]) -> Value | None:
    return None if value is None else read(value)


def _session_to_dict(session: Session) -> dict[str, Any]:
    names = ("attempt", "hello", "answer", "root", "transcript")
    return {"peer": session.peer, **{name: wire.to_json(getattr(session, name)) for name in names}}


def _session_from_dict(document: Mapping[str, Any]) -> Session:
    return Session(
        _bytes(document, "attempt"),
        str(document["peer"]),
        _bytes(document, "hello"),
        _bytes(document, "answer"),
        _bytes(document, "root"),
        _bytes(document, "transcript"),
    )


def _meeting_to_dict(meeting: Meeting) -> dict[str, Any]:
    names = ("attempt", "proof", "answer", "root", "transcript", "bound", "salt")
    return {name: wire.to_json(getattr(meeting, name)) for name in names}


def _meeting_from_dict(document: Mapping[str, Any]) -> Meeting:
    return Meeting(
        _bytes(document, "attempt"),
        _bytes(document, "proof"),
        _bytes(document, "answer"),
        _bytes(document, "root"),
        _bytes(document, "transcript"),
        _bytes(document, "bound"),
        _bytes(document, "salt"),
    )


def _claim_to_dict(claim: Claim) -> dict[str, Any]:
    names = ("attempt", "claim", "answer", "root", "transcript", "bound")
    return {
        **{name: wire.to_json(getattr(claim, name)) for name in names},
        "pairing": _pairing_to_dict(claim.pairing),
    }


def _claim_from_dict(document: Mapping[str, Any]) -> Claim:
    return Claim(
        _bytes(document, "attempt"),
        _bytes(document, "claim"),
        _bytes(document, "answer"),
        _bytes(document, "root"),
        _bytes(document, "transcript"),
        _bytes(document, "bound"),
        _pairing_from_dict(document["pairing"]),
    )


def gateway_to_dict(state: GatewayState) -> dict[str, Any]:
    """The gateway's state as JSON; secret."""
    return {
        "version": _VERSION,
        "status": state.status.value,
        "secret": wire.to_json(state.secret),
        "expires_at": state.expires_at,
        "failures": [[peer, count] for peer, count in state.failures],
        "sessions": [_session_to_dict(session) for session in state.sessions],
        "meeting": _optional(state.meeting, _meeting_to_dict),
        "claim": _optional(state.claim, _claim_to_dict),
        "paired": [wire.to_json(hashed) for hashed in state.paired],
    }


def _gateway(document: Mapping[str, Any]) -> GatewayState:
    state = GatewayState(
        GatewayStatus(document["status"]),
        _bytes(document, "secret"),
        wire.integer(document, "expires_at"),
        tuple((str(peer), wire.integer({"failures": count}, "failures")) for peer, count in document["failures"]),
        tuple(_session_from_dict(session) for session in document["sessions"]),
        _optional(document["meeting"], _meeting_from_dict),
        _optional(document["claim"], _claim_from_dict),
        tuple(wire.raw({"paired": hashed}, "paired", 32, 32) for hashed in document["paired"]),
    )
    held = {
        GatewayStatus.OPEN: len(state.secret) == SECRET_SIZE,
        GatewayStatus.MEETING: state.meeting is not None,
        GatewayStatus.CLAIMED: state.claim is not None,
        GatewayStatus.PAIRED: bool(state.paired),
    }
    if not held.get(state.status, True):
        raise ValueError("the status promises what is not there")
    return state


def home_to_dict(state: HomeState) -> dict[str, Any]:
    """The home's state as JSON; secret."""
    names = ("attempt", "hello", "expected", "exchange", "root", "transcript", "bound", "last", "salt")
    return {
        "version": _VERSION,
        "status": state.status.value,
        **{name: wire.to_json(getattr(state, name)) for name in names},
        "gateway": _optional(state.gateway, wire.identity_document),
        "pairing": _optional(state.pairing, _pairing_to_dict),
    }


def _home(document: Mapping[str, Any]) -> HomeState:
    gateway: PeerIdentity | None = _optional(document["gateway"], wire.identity_from)
    state = HomeState(
        HomeStatus(document["status"]),
        _bytes(document, "attempt"),
        _bytes(document, "hello"),
        _bytes(document, "expected"),
        _bytes(document, "exchange"),
        _bytes(document, "root"),
        _bytes(document, "transcript"),
        _bytes(document, "bound"),
        _bytes(document, "last"),
        gateway,
        _bytes(document, "salt"),
        _optional(document["pairing"], _pairing_from_dict),
    )
    held = {
        HomeStatus.GREETED: bool(state.exchange),
        HomeStatus.MET: state.gateway is not None,
        HomeStatus.CLAIMED: state.pairing is not None,
        HomeStatus.PAIRED: state.pairing is not None,
    }
    if not held.get(state.status, True):
        raise ValueError("the status promises what is not there")
    return state


def _read(document: object, read: Callable[[Mapping[str, Any]], Value]) -> Value:
    if not isinstance(document, Mapping) or document.get("version") != _VERSION:
        raise StateDamaged("the saved pairing state has no version that this program reads")
    try:
        return read(document)
    except (KeyError, TypeError, ValueError, AttributeError, PairingRefused, KeysError) as error:
        # The value itself may be a secret: its class says enough.
        raise StateDamaged(f"the saved pairing state is damaged ({type(error).__name__})") from None


def gateway_from_dict(document: object) -> GatewayState:
    """The inverse of gateway_to_dict; StateDamaged."""
    return _read(document, _gateway)


def home_from_dict(document: object) -> HomeState:
    """The inverse of home_to_dict; StateDamaged."""
    return _read(document, _home)
