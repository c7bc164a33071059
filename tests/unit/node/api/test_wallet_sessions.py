"""Sign-in with the owner's wallet (EIP-4361): one message, once, here, by this account (operations.md 4, test 28)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from pydantic import ValidationError

from node.api.sessions import PAGE_HEADER
from node.api.views import StatusView
from node.api.walletsession import CHALLENGE_S
from tests.unit.node.api.memory_node import MemoryNode
from tests.unit.node.api.serving import Served, served, settings

OWNER: LocalAccount = Account.from_key(b"\x07" * 32)
OTHER: LocalAccount = Account.from_key(b"\x08" * 32)
ASK, ENTER, SESSION = "/pages/session/challenge", "/pages/session/wallet", "/pages/session"
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Owned(MemoryNode):
    """Its owner has a key that this test knows."""

    def __init__(self, owner: str | None = OWNER.address) -> None:
        super().__init__()
        self._owner = owner

    async def status(self) -> StatusView:
        owner = None if self._owner is None else bytes.fromhex(self._owner[2:])
        return (await super().status()).model_copy(update={"owner": owner})


def own(api: Served, host: str | None = None) -> dict[str, str]:
    """What our own page sends, opened at this address of the node."""
    place = host or f"127.0.0.1:{api.server.listen.port}"
    return {PAGE_HEADER: "1", "Origin": f"http://{place}", "Host": place}


async def post(api: Served, path: str, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    status, answer, _ = await api.call("POST", path, token=None, json=body, headers=headers or own(api))
    return status, answer


async def ask(api: Served, address: str = OWNER.address, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    return await post(api, ASK, {"address": address}, headers)


def signed(text: str, account: LocalAccount = OWNER) -> str:
    found = account.sign_message(encode_defunct(text=text)).signature
    return "0x" + bytes(found).hex()


async def enter(api: Served, nonce: str, signature: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    return await post(api, ENTER, {"nonce": nonce, "signature": signature}, headers)


async def test_the_owner_signs_in_once_and_may_act() -> None:
    async with served(node=Owned()) as api:
        status, asked = await ask(api)
        assert status == 200
        status, mine = await enter(api, asked["nonce"], signed(asked["message"]))
        assert (status, mine) == (200, {"scope": "admin", "expires_at": api.clock.now() + 43_200})
        assert (await api.call("GET", SESSION, token=None, headers=own(api)))[0] == 200
        # Replayed: by whoever saw it, it opens nothing.
        api.http.cookie_jar.clear()
        status, problem = await enter(api, asked["nonce"], signed(asked["message"]))
        assert (status, problem["code"]) == (401, "unauthenticated")
        assert problem["remedy"]
        assert (await api.call("GET", SESSION, token=None, headers=own(api)))[0] == 401


async def test_the_message_is_what_eip_4361_says() -> None:
    """The grammar of the EIP, section Message Format."""
    async with served(node=Owned()) as api:
        _, asked = await ask(api)
        host = re.escape(f"127.0.0.1:{api.server.listen.port}")
        time = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
        wanted = (
            rf"{host} wants you to sign in with your Ethereum account:\n{OWNER.address}\n\n[^\n]+\n\nURI: http://{host}\n"
            rf"Version: 1\nChain ID: 31337\nNonce: [a-zA-Z0-9]{{8,}}\nIssued At: {time}\nExpiration Time: {time}"
        )
        assert re.fullmatch(wanted, asked["message"]), asked["message"]
        _, again = await ask(api)
        assert again["nonce"] != asked["nonce"]


async def test_another_account_is_refused_before_and_after_it_signs() -> None:
    async with served(node=Owned()) as api:
        status, problem = await ask(api, OTHER.address)
        assert (status, problem["code"]) == (403, "refused")
        assert OWNER.address in problem["remedy"]
        _, asked = await ask(api)
        assert (await enter(api, asked["nonce"], signed(asked["message"], OTHER)))[0] == 401
        # The message is used up by a wrong signature as well.
        assert (await enter(api, asked["nonce"], signed(asked["message"])))[0] == 401
        assert await api.tokens.records() == ()
    async with served(node=Owned(None)) as api:
        assert (await ask(api))[0] == 403


async def test_too_late_or_never_asked_for() -> None:
    async with served(node=Owned()) as api:
        _, asked = await ask(api)
        api.clock.advance(CHALLENGE_S)
        assert (await enter(api, asked["nonce"], signed(asked["message"])))[0] == 401
        _, asked = await ask(api)
        api.clock.advance(CHALLENGE_S - 1)
        assert (await enter(api, "0" * 32, signed(asked["message"])))[0] == 401
        assert (await enter(api, asked["nonce"], signed(asked["message"])))[0] == 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("127.0.0.1", "evil.example"), ("Chain ID: 31337", "Chain ID: 1"), ("Nonce: ", "Nonce: 0"), ("Z", "Y"),
        (OWNER.address, OTHER.address), ("\n\n", "\n"), (OWNER.address, OWNER.address.lower()),
    ],
)  # fmt: skip
async def test_a_message_of_other_words_is_not_the_one_that_was_asked_for(old: str, new: str) -> None:
    async with served(node=Owned()) as api:
        _, asked = await ask(api)
        changed = asked["message"].replace(old, new)
        assert changed != asked["message"]
        assert (await enter(api, asked["nonce"], signed(changed)))[0] == 401


async def test_the_domain_is_bound_and_never_the_callers_own() -> None:
    """A page elsewhere that names its own address has the wallet find nothing wrong: the node must."""
    async with served(node=Owned(), chosen=settings(hosts=("house.example",))) as api:
        port = api.server.listen.port
        status, problem = await ask(api, headers=own(api, "evil.example"))
        assert (status, problem["code"]) == (403, "refused")
        assert "api.hosts" in problem["remedy"]
        assert (await ask(api, headers=own(api, f"evil.example:{port}")))[0] == 403
        assert (await ask(api, headers=own(api, f"127.0.0.1:{port + 1}")))[0] == 403
        _, asked = await ask(api, headers=own(api, "house.example"))
        assert asked["message"].startswith("house.example wants")
        # What was asked for at one address counts at no other.
        assert (await enter(api, asked["nonce"], signed(asked["message"]), own(api)))[0] == 401
        _, asked = await ask(api, headers=own(api, f"localhost:{port}"))
        answer = await enter(api, asked["nonce"], signed(asked["message"]), own(api, f"localhost:{port}"))
        assert answer[0] == 200


def test_a_host_is_named_as_browsers_send_it() -> None:
    assert settings(hosts=("house.example:8443", "[fd00::7]:8750")).hosts == ("house.example:8443", "[fd00::7]:8750")
    for wrong in ("https://house.example", "house.example/", "", "house example"):
        with pytest.raises(ValidationError):
            settings(hosts=(wrong,))


async def test_csrf_other_pages_ask_for_nothing_and_enter_nothing() -> None:
    async with served(node=Owned()) as api:
        _, asked = await ask(api)
        good = own(api)
        for headers in (
            {**good, "Origin": "http://evil.example"}, {PAGE_HEADER: "1", "Host": good["Host"]},
            {"Origin": good["Origin"], "Host": good["Host"]},
        ):  # fmt: skip
            assert (await ask(api, headers=headers))[0] == 403
            assert (await enter(api, asked["nonce"], signed(asked["message"]), headers))[0] == 403
        assert (await enter(api, asked["nonce"], signed(asked["message"])))[0] == 200


async def test_signatures_that_are_not_canonical() -> None:
    """High s, v of another chain, nothing at all: 401 or 422. Wallets that write v as 0 or 1 are understood."""
    async with served(node=Owned()) as api:
        for change in (_high_s, lambda raw: raw[:64] + b"\x25", lambda raw: bytes(65)):
            _, asked = await ask(api)
            raw = bytes.fromhex(signed(asked["message"])[2:])
            assert (await enter(api, asked["nonce"], "0x" + change(raw).hex()))[0] == 401
        assert (await enter(api, asked["nonce"], "0x12"))[0] == 422
        _, asked = await ask(api)
        raw = bytes.fromhex(signed(asked["message"])[2:])
        old = raw[:64] + bytes([raw[64] - 27])
        assert (await enter(api, asked["nonce"], "0x" + old.hex()))[0] == 200


def _high_s(raw: bytes) -> bytes:
    s = CURVE_ORDER - int.from_bytes(raw[32:64], "big")
    return raw[:32] + s.to_bytes(32, "big") + bytes([55 - raw[64]])


async def test_guesses_are_counted_by_address_and_questions_too() -> None:
    async with served(node=Owned(), chosen=settings(open_calls_per_minute=70)) as api:
        codes = [(await enter(api, "0" * 32, signed("x")))[0] for _ in range(62)]
        assert codes == [401] * 60 + [429] * 2
        codes = [(await ask(api))[0] for _ in range(72)]
        assert codes == [200] * 70 + [429] * 2
