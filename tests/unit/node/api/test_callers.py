"""From where a home may pair (permissions.md 2: tries count per peer and only on the local interface)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from node.api.callers import unnamed_proxy
from node.api.operations import BinaryBody
from node.config.values import Listen
from node.runtime.interfaces import GLOBAL, PRIVATE, in_any, network_of, own_networks
from tests.unit.node.api.serving import served, settings

BINARY = {"Content-Type": BinaryBody}
HOUSE = (ip_network("192.168.7.0/24"), ip_network("fd00:7::/64"))
PROXY = {"trusted_proxies": ["127.0.0.1"]}


async def stepped(chosen: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any, list[str]]:
    """Status and problem of one step, and the peers that the node's pairing got to see."""
    async with served(settings(**chosen), networks=lambda: HOUSE) as api:
        status, answer, _ = await api.call(
            "POST", "/pairing/v1/hello", token=None, data=b"m", headers={**BINARY, **headers}
        )
        return status, answer, [peer for _, _, peer in api.node.steps]


@pytest.mark.parametrize(
    ("said", "peer"),
    [
        ("192.168.7.20", "192.168.7.20"),
        ("::ffff:192.168.7.20", "192.168.7.20"),
        ("fd00:7::20", "fd00:7::/64"),
        ("203.0.113.9, 192.168.7.20", "192.168.7.20"),  # what stands before is the caller's own word
        ("203.0.113.9, 192.168.7.20, 127.0.0.1", "192.168.7.20"),  # two proxies, both named
    ],
)
async def test_the_houses_own_network_may_pair(said: str, peer: str) -> None:
    status, _, peers = await stepped(PROXY, {"X-Forwarded-For": said})
    assert (status, peers) == (200, [peer])


@pytest.mark.parametrize(
    "said",
    [
        "203.0.113.9",
        "192.168.8.20",  # private, but of no interface of this machine: another site's network behind a tunnel
        "2001:db8::1",
        "::ffff:203.0.113.9",
        "192.168.7.20, 203.0.113.9",  # forged by the caller
        "unknown",
        "192.168.7.20:443",
        "",
    ],
)
async def test_everybody_else_is_refused_and_no_try_is_counted(said: str) -> None:
    status, problem, peers = await stepped(PROXY, {"X-Forwarded-For": said})
    assert (status, problem["code"], peers) == (403, "not_local", [])
    assert "api." in problem["remedy"]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_the_word_of_a_proxy_that_nobody_named_counts_for_nothing(header: str) -> None:
    """Attack: a reverse proxy on the gateway itself would make the whole world look like the machine."""
    status, problem, peers = await stepped({}, {header: "192.168.7.20"})
    assert (status, problem["code"], peers) == (403, "not_local", [])
    assert "api.trusted_proxies" in problem["remedy"]


async def test_a_named_proxy_that_says_nothing_is_not_local() -> None:
    status, problem, peers = await stepped(PROXY, {})
    assert (status, problem["code"], peers) == (403, "not_local", [])


async def test_a_setting_names_further_networks() -> None:
    chosen = {**PROXY, "pairing_networks": ["203.0.113.0/24"]}
    assert await stepped(chosen, {"X-Forwarded-For": "203.0.113.9"}) == (200, b"answer to m", ["203.0.113.9"])
    assert (await stepped(chosen, {"X-Forwarded-For": "203.0.114.9"}))[0] == 403


async def test_the_machine_itself_may_pair_without_any_setting() -> None:
    assert (await stepped({}, {}))[0] == 200


async def test_metrics_are_not_for_whom_a_proxy_lets_in() -> None:
    async with served(settings()) as api:
        assert (await api.call("GET", "/metrics", token=None))[0] == 200
        passed_on = {"X-Forwarded-For": "203.0.113.9"}
        assert (await api.call("GET", "/metrics", token=None, headers=passed_on))[0] == 401


async def test_calls_through_a_named_proxy_count_against_the_caller() -> None:
    async with served(settings(open_calls_per_minute=2, **PROXY), networks=lambda: HOUSE) as api:
        for caller, wanted in (
            ("192.168.7.20", 200),
            ("192.168.7.20", 200),
            ("192.168.7.20", 429),
            ("192.168.7.21", 200),
        ):
            headers = {**BINARY, "X-Forwarded-For": caller}
            status, _, _ = await api.call("POST", "/pairing/v1/hello", token=None, data=b"m", headers=headers)
            assert status == wanted


def test_networks_of_interfaces() -> None:
    assert network_of("192.168.7.1", "255.255.255.0") == ip_network("192.168.7.0/24")
    assert network_of("fe80::1%eth0", "ffff:ffff:ffff:ffff::") == ip_network("fe80::/64")
    assert network_of("10.0.0.1", None) == ip_network("10.0.0.1/32")
    assert network_of("203.0.113.5", "255.255.255.0") is None  # an address in the world does not make it local
    assert network_of("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") is None
    assert network_of("127.0.0.1", "255.0.0.0") is None
    assert all(in_any(network.network_address, (*PRIVATE, GLOBAL)) for network in own_networks())
    assert not in_any(ip_address("192.168.7.1"), (ip_network("fd00::/8"),))


def test_a_home_with_global_addresses_of_its_own_is_local() -> None:
    """IPv6 gives every device of a home a global address; carriers give whole sites 100.64.0.0/10."""
    link = "ffff:ffff:ffff:ffff::"
    assert network_of("2001:db8:7:1::5", link) == ip_network("2001:db8:7:1::/64")
    assert network_of("2001:db8:7:1::5", f"{link[:-1]}ffff:ffff:ffff:ffff") == ip_network("2001:db8:7:1::5/128")
    assert network_of("100.64.3.1", "255.255.255.0") == ip_network("100.64.3.0/24")
    assert network_of("2001:db8:7:1::5", "ffff:ffff:ffff::") is None  # many links, of whomever


def test_attack_a_mask_that_reaches_into_the_world_is_cut() -> None:
    assert network_of("172.16.0.5", "255.0.0.0") == ip_network("172.16.0.0/12")
    assert network_of("192.168.1.5", "0.0.0.0") == ip_network("192.168.0.0/16")
    assert network_of("10.0.0.5", "254.0.0.0") == ip_network("10.0.0.0/8")
    assert network_of("fd00::5", "::") == ip_network("fc00::/7")


async def test_the_remedy_names_what_a_named_proxys_own_machine_has_to_do() -> None:
    """With trusted_proxies = ["127.0.0.1"] a call of the machine itself has no X-Forwarded-For and is refused."""
    _, problem, _ = await stepped(PROXY, {})
    assert "a machine whose own address api.trusted_proxies names" in problem["remedy"]


def test_where_a_proxy_may_stand_that_is_not_named() -> None:
    api = settings().model_copy
    far = Listen("0.0.0.0", 8750)
    assert unnamed_proxy(api()) == ""
    assert "0.0.0.0:8750" in unnamed_proxy(api(update={"listen": far}))
    assert "plain_http" in unnamed_proxy(api(update={"plain_http": True}))
    named = (ip_network("127.0.0.1/32"),)
    assert unnamed_proxy(api(update={"listen": far, "plain_http": True, "trusted_proxies": named})) == ""
