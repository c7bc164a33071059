"""The networks that this machine stands in and that reach no further than its site, by its interfaces."""

from __future__ import annotations

import ipaddress
import socket
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Final

import psutil

__all__ = ["GLOBAL", "PRIVATE", "Network", "in_any", "network_of", "own_networks"]

Network = IPv4Network | IPv6Network

PRIVATE: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10"
    )
)  # fmt: skip
"""Private, link-local and shared: RFC 1918, RFC 3927, RFC 6598, RFC 4193, RFC 4291. None is on the internet."""

GLOBAL: Final = ipaddress.IPv6Network("2000::/3")
"""What IPv6 calls global unicast (RFC 4291): homes have such addresses in their own network."""
LINK_BITS: Final = 64
"""An IPv6 network of one link has 64 bits or more (RFC 4291 2.5.1); a shorter prefix stands for many sites' links."""


def network_of(address: str, netmask: str | None) -> Network | None:
    """The network of an interface's address; None where it is no site's own. Without a mask it is that one address.

    A mask that reaches beyond the private range is cut to it: 255.0.0.0 at 172.16.0.5 would let in the world's
    172.0.0.0/8. A public IPv4 address makes nothing local, as its neighbours may be anybody's.
    """
    own = ipaddress.ip_address(address.partition("%")[0])
    bits = own.max_prefixlen if netmask is None else int(ipaddress.ip_address(netmask)).bit_count()
    within = next((each for each in PRIVATE if own in each), None)
    if within is not None:
        bits = max(bits, within.prefixlen)
    elif own not in GLOBAL or bits < LINK_BITS:
        return None
    return ipaddress.ip_network((own, bits), strict=False)


def in_any(address: ipaddress.IPv4Address | IPv6Address, networks: tuple[Network, ...]) -> bool:
    """Whether an address is in one of the networks; an address is never in a network of the other version."""
    return any(address in network for network in networks)


def own_networks() -> tuple[Network, ...]:
    """Asked anew each time: cables and cards come and go."""
    families = (socket.AF_INET, socket.AF_INET6)
    addresses = [each for found in psutil.net_if_addrs().values() for each in found if each.family in families]
    networks = (network_of(each.address, each.netmask) for each in addresses)
    return tuple(dict.fromkeys(network for network in networks if network is not None))
