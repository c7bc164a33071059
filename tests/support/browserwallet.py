"""A wallet extension in a test's browser: announced by EIP-6963, asked by EIP-1193, and it signs with a real key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from playwright.async_api import Page

__all__ = ["BrowserWallet"]

_ICON = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'%3E%3Crect width='300' height='150'/%3E%3C/svg%3E"
_SCRIPT = """(() => {
  const provider = { async request({ method, params }) {
    const { result, error } = JSON.parse(await window.askWallet(method, JSON.stringify(params ?? [])));
    if (error) throw Object.assign(new Error(error.message), { code: error.code });
    return result;
  } };
  const uuid = "350670db-19fa-4704-a166-e52e178b59d2";
  const info = Object.freeze({ uuid, name: NAME, icon: ICON, rdns: "test.wallet" });
  const detail = Object.freeze({ info, provider });
  const announce = () => dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  addEventListener("eip6963:requestProvider", announce);
  announce();
})();"""


@dataclass
class BrowserWallet:
    """`asked`: methods and parameters, in order. `refuses`: the person signs nothing. `known`: chains to switch to."""

    key: bytes
    chain_id: int
    name: str = "Test wallet"
    refuses: bool = False
    known: tuple[int, ...] = ()
    asked: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def account(self) -> LocalAccount:
        found: LocalAccount = Account.from_key(self.key)
        return found

    async def install(self, page: Page) -> None:
        """Into every page that is opened from now on."""
        await page.expose_function("askWallet", self._answer)
        script = _SCRIPT.replace("NAME", json.dumps(self.name)).replace("ICON", json.dumps(_ICON))
        await page.add_init_script(script)

    def signed(self, method: str) -> list[Any]:
        """What was asked by one method."""
        return [params for name, params in self.asked if name == method]

    def _answer(self, method: str, params: str) -> str:
        given = json.loads(params)
        self.asked.append((method, given))
        if self.refuses and method in ("personal_sign", "eth_signTypedData_v4"):
            return json.dumps({"error": {"code": 4001, "message": "User rejected the request."}})
        match method:
            case "eth_requestAccounts":
                return json.dumps({"result": [self.account.address.lower()]})
            case "eth_chainId":
                return json.dumps({"result": hex(self.chain_id)})
            case "wallet_switchEthereumChain":
                return self._switch(int(given[0]["chainId"], 16))
            case "personal_sign":
                return self._personal(*given)
            case "eth_signTypedData_v4":
                return self._typed(*given)
        return json.dumps({"error": {"code": 4200, "message": f"{method} is not supported"}})

    def _switch(self, chain_id: int) -> str:
        if chain_id not in self.known:
            return json.dumps({"error": {"code": 4902, "message": "Unrecognized chain ID."}})
        self.chain_id = chain_id
        return json.dumps({"result": None})

    def _personal(self, data: str, address: str) -> str:
        assert address.lower() == self.account.address.lower()
        made = self.account.sign_message(encode_defunct(hexstr=data))
        return json.dumps({"result": "0x" + bytes(made.signature).hex()})

    def _typed(self, address: str, document: str) -> str:
        assert address.lower() == self.account.address.lower()
        typed = json.loads(document)
        if typed["domain"]["chainId"] != self.chain_id:  # as the wallets that people have
            message = f'Provided chainId "{typed["domain"]["chainId"]}" must match the active chainId "{self.chain_id}"'
            return json.dumps({"error": {"code": -32603, "message": message}})
        made = Account.sign_typed_data(self.key, full_message=typed)
        return json.dumps({"result": "0x" + bytes(made.signature).hex()})
