"""Who calls: the address behind proxies that the config names, and whether it is in this machine's own network.

What a proxy says of an address is believed only of a proxy that `api.trusted_proxies` names. A call that another one
has marked with a header is never local, wherever that proxy stands: it may pass on the whole world (permissions.md 2).

What adds no header cannot be told from a caller of its own: nginx with a bare proxy_pass, a TCP proxy, `ssh -R`, the
proxy that publishes a container's port. Behind such a one everybody looks as near as it stands, unless it is named:
then a call without X-Forwarded-For is not local either, also one of the machine itself. `unnamed_proxy` tells where
that is to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from aiohttp import web

from node.api.limits import peer_key
from node.config import ApiSettings
from node.errors import Refused
from node.runtime.interfaces import Network, in_any, own_networks

__all__ = ["Callers", "NotLocal", "unnamed_proxy"]

Address = IPv4Address | IPv6Address
_PASSED_ON: Final = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")


class NotLocal(Refused):
    """A call that is taken from the local network alone came from elsewhere."""

    code = "not_local"


class Callers:
    """Knows callers by the settings and by the networks of the moment."""

    def __init__(self, settings: ApiSettings, networks: Callable[[], tuple[Network, ...]] = own_networks) -> None:
        self._proxies = settings.trusted_proxies
        self._allowed = settings.pairing_networks
        self._networks = networks

    def key(self, request: web.Request) -> str:
        """What limits and tries count against: the caller's address, or the proxy's where that names none."""
        address = self.address(request)
        return peer_key(str(address) if address is not None else request.remote)

    def check_local(self, request: web.Request) -> None:
        """Raises NotLocal unless the call comes from this machine, its own networks or one that the config names."""
        address = self.address(request)
        if address is None:
            raise NotLocal(
                "The call came through a proxy that does not say from where.",
                remedy="Call the gateway itself, or name the proxy in api.trusted_proxies and have it send"
                " X-Forwarded-For. From a machine whose own address api.trusted_proxies names, pair through the proxy,"
                " or at an address of the gateway's other than that.",
            )
        if not (address.is_loopback or in_any(address, self._allowed) or in_any(address, self._networks())):
            raise NotLocal(
                f"Pairing is for the gateway's own network, and {address} is not in it.",
                remedy="Pair from the network that the gateway is in, or have its operator name yours in"
                " api.pairing_networks.",
            )

    def address(self, request: web.Request) -> Address | None:
        """The caller's address; None where it came through a proxy whose word does not count, or that says nothing."""
        address = _parsed(request.remote)
        if address is None or not in_any(address, self._proxies):
            return None if any(name in request.headers for name in _PASSED_ON) else address
        said = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
        for hop in reversed(said):
            # Each proxy appends whom it heard; what stands before the first stranger is the stranger's own word.
            address = _parsed(hop)
            if address is None or not in_any(address, self._proxies):
                return address
        return None


def unnamed_proxy(settings: ApiSettings) -> str:
    """Why a proxy may stand before this node that `trusted_proxies` does not name; empty where none is to be feared."""
    if settings.trusted_proxies:
        return ""
    if settings.plain_http:
        return "api.plain_http is for a proxy before the gateway, and api.trusted_proxies names none"
    return (
        "" if settings.listen.is_loopback else f"{settings.listen} is open to others, and api.trusted_proxies is empty"
    )


def _parsed(text: str | None) -> Address | None:
    try:
        found = ip_address((text or "").strip().partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
