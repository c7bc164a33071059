"""The command line of `scripts/deploy`: arguments to an order, the account that pays, tables and JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from keys.files import read_file
from keys.keystore import Keystore
from keys.signers import Signer, open_signer
from node.app.commands.faults import keys_errors
from node.clock import SystemClock
from node.errors import ChainUnreachable, ConfigError, ExitCode, NodeError, UsageError
from node.ledger.errors import CallReverted, FeesTooHigh
from node.ledger.fees import GWEI, FeePolicy
from node.ledger.finality import Finality
from node.ledger.rpc import Rpc
from node.runtime.deployment.deployer import Deployer, DeployOptions, Record
from node.runtime.deployment.errors import AnotherChain, BadOrder, DeployError
from node.runtime.deployment.plan import DEVNET_CHAIN, NAMES, Order, Step, default_names, make_plan
from node.runtime.deployment.survey import Survey, ask_chain_id
from node.types import address_from_text, address_to_text, from_hex, to_hex

__all__ = ["main"]

ROOT: Final = Path(__file__).resolve().parent.parent
_DAY: Final = 86_400
_PASSPHRASE: Final = "WATTPACT_DEPLOY_PASSPHRASE"
_SIGNER: Final = "WATTPACT_DEPLOY_SIGNER"
_LONGEST_PASSPHRASE: Final = 4_096
_SECRET: Final = re.compile(r"[0-9a-fA-F]{64}")
_EPILOG: Final = f"""\
examples:
  what would happen, and what it costs:
    scripts/deploy --rpc-url https://rpc.example --chain-id 100 --keystore ~/deployer --signer keystore:deployer \\
      --registrar 0x... --token 0x... --dry-run
  the registry of consents alone:
    scripts/deploy --rpc-url https://rpc.example --chain-id 100 --keystore ~/deployer --signer keystore:deployer
  everything, on a devnet of your own:
    scripts/deploy --rpc-url http://127.0.0.1:8545 --signer memory:0x... --contracts {",".join(NAMES[:3])},Market \\
      --registrar 0x... --confirmations 1

The keystore's passphrase comes from {_PASSPHRASE} or --passphrase-file. A run that was interrupted is continued by
the same command. contracts/DEPLOYING.md says what to check before, during and after.

exit codes: 0 done, 2 usage, 3 wrong chain, file or keystore, 4 not reachable or not final in time, 5 refused (foreign
code, revert), 7 fees above the cap or another sender at work, 8 a person must act (funds, CREATE2 proxy)
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A mistyped option is repeated in the message, and a key may stand beside it."""
        super().error(_SECRET.sub("...", message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="scripts/deploy",
        description="Deploys the contracts at addresses that are the same on every chain (CREATE2), and verifies them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--rpc-url", required=True, metavar="URL", help="JSON-RPC node of the chain")
    add("--signer", metavar="URI", help=f"who pays: keystore:NAME[#sender], or {_SIGNER}; memory: for devnets")
    add("--keystore", type=Path, metavar="DIR", help="folder of the keystore that a keystore: signer is in")
    add("--passphrase-file", type=Path, metavar="FILE", help=f"its passphrase, if not in {_PASSPHRASE}")
    add("--chain-id", type=int, metavar="N", help="refuse any other chain")
    add("--contracts", metavar="A,B", help="default: all that --registrar and --token are enough for, no DevToken")
    add("--registrar", metavar="0x..", help="account that admits sources (EnergyToken)")
    add("--token", metavar="0x..", help="ERC-20 that is paid with (Market, NetSettlement, Allowances)")
    add("--withdraw-wait-days", type=int, default=14, metavar="N", help="until money leaves the escrow (default 14)")
    add("--dispute-window-days", type=int, default=3, metavar="N", help="until netted credits are free (default 3)")
    add("--salt", default="0x" + "00" * 32, metavar="0x..", help="32 bytes; part of every address (default zero)")
    add("--max-fee-gwei", type=int, default=500, metavar="N", help="most to pay for a unit of gas (default 500)")
    add("--confirmations", type=int, metavar="N", help="blocks on top, instead of the chain's own finality")
    add("--timeout", type=int, default=1_800, metavar="SECONDS", help="longest of each wait (default 1800)")
    add("--out", type=Path, metavar="FILE", help="default: contracts/deployments/<chain id>.json")
    add("--dry-run", action="store_true", help="look and count, send and write nothing")
    add("--json", action="store_true", help="result on stdout as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        asyncio.run(_run(arguments))
    except NodeError as error:
        _say(f"{error.message}\n{_remedy(error)}")
        return int(error.exit_code)
    except KeyboardInterrupt:
        _say("Interrupted. The same command goes on.")
        return 130
    return int(ExitCode.OK)


def _remedy(error: NodeError) -> str:
    """In the words of this command where the ledger speaks of a node's configuration."""
    match error:
        case DeployError():
            return error.remedy
        case FeesTooHigh():
            return "Wait for lower fees, or raise --max-fee-gwei. The same command goes on."
        case ChainUnreachable():
            return "Check --rpc-url and whether the RPC node runs. The same command goes on."
        case CallReverted():
            return "Look at the address: if its code is there, somebody else deployed it; the same command goes on."
        case _:
            return error.remedy


async def _run(given: argparse.Namespace) -> None:
    if given.max_fee_gwei < 1 or given.timeout < 1 or (given.confirmations or 0) < 0:
        raise UsageError("Fees and times are positive numbers.", remedy="See scripts/deploy --help.")
    registrar = _address(given.registrar, "--registrar")
    token = _address(given.token, "--token")
    names = given.contracts.split(",") if given.contracts else default_names(registrar, token)
    order = Order(
        tuple(name.strip() for name in names),
        registrar,
        token,
        given.withdraw_wait_days * _DAY,
        given.dispute_window_days * _DAY,
        _salt(given.salt),
    )
    clock = SystemClock()
    chain_id = await ask_chain_id(given.rpc_url, clock, given.chain_id)
    steps = make_plan(order, chain_id)
    record = Record(given.out or ROOT / "contracts" / "deployments" / f"{chain_id}.json", chain_id, steps)
    signer = _signer(given, chain_id)
    options = DeployOptions(
        ROOT / "build" / "deploy",
        Finality(given.confirmations),
        FeePolicy(max_fee_cap=given.max_fee_gwei * GWEI),
        within=float(given.timeout),
    )
    async with Rpc([given.rpc_url], chain_id, clock) as rpc:
        if registrar is not None and not await rpc.code(registrar):
            _say(f"note: the registrar {address_to_text(registrar)} is no contract: one key alone admits sources")
        deployer = Deployer(rpc, signer, clock, options, _say)
        if given.dry_run:
            _show_survey(await deployer.look(steps, token), chain_id, given.json)
            return
        await deployer.deploy(steps, token, record)
    _show_record(record, steps, given.json)


def _signer(given: argparse.Namespace, chain_id: int) -> Signer:
    """Raises UsageError, AnotherChain, ConfigError, and what the keystore says."""
    uri = given.signer or os.environ.get(_SIGNER, "")
    if not uri:
        raise BadOrder("Who pays is not named.", remedy=f"Give --signer, or set {_SIGNER}.")
    if uri.startswith("memory:") and given.signer and chain_id != DEVNET_CHAIN:
        raise AnotherChain(
            f"A key on the command line is for a devnet, and this is chain {chain_id}: every process here can read it.",
            remedy=f"Put the key into a keystore (--keystore, --signer keystore:NAME), or the address into {_SIGNER}.",
        )
    with keys_errors():
        if not uri.startswith("keystore:"):
            return open_signer(uri)
        if given.keystore is None:
            raise BadOrder("A keystore: signer needs the folder of the keystore.", remedy="Give --keystore DIR.")
        keystore = Keystore.open(given.keystore, _passphrase(given.passphrase_file))
        try:
            return open_signer(uri, keystore)
        finally:
            keystore.close()


def _passphrase(file: Path | None) -> str:
    if file is None:
        found = os.environ.get(_PASSPHRASE)
        if found is None:
            raise ConfigError("The keystore needs its passphrase.", remedy=f"Set {_PASSPHRASE}, or --passphrase-file.")
        return found
    try:
        return read_file(file, _LONGEST_PASSPHRASE).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read.", remedy="Name a text file that only you may read.") from error


def _address(text: str | None, option: str) -> bytes | None:
    if text is None:
        return None
    try:
        return address_from_text(text)
    except ValueError as error:
        raise BadOrder(f"{option} is not an address with a right checksum.") from error


def _salt(text: str) -> bytes:
    try:
        return from_hex(text, 32)
    except ValueError as error:
        raise BadOrder("--salt is 0x and 64 hex digits.") from error


def _show_survey(found: Survey, chain_id: int, as_json: bool) -> None:
    if as_json:
        _print_json(_survey_document(found, chain_id))
        return
    print(f"chain {chain_id}; present fee {found.price} wei per gas (base {found.fees.base})")
    for row in found.rows:
        where = address_to_text(row.step.call.address)
        if row.deployed:
            print(f"{row.step.name:16} {where}  is there, verified")
        else:
            about = "" if row.estimated else " (upper bound)"
            print(f"{row.step.name:16} {where}  {row.gas} gas{about}, {_ether(row.gas * found.price)}")
    print(f"total            {found.gas} gas, {_ether(found.gas * found.price)}; at most {_ether(found.needed)}")
    print(f"balance          {_ether(found.balance)} of {address_to_text(found.payer)}")
    if found.missing:
        print(f"missing          {_ether(found.missing)} ({found.missing} wei)")


def _survey_document(found: Survey, chain_id: int) -> dict[str, Any]:
    """Amounts in wei as text: they are larger than what JSON readers keep exactly."""
    return {
        "chain_id": chain_id,
        "payer": address_to_text(found.payer),
        "fee_wei": str(found.price),
        "contracts": [
            {
                "name": row.step.name,
                "address": address_to_text(row.step.call.address),
                "deployed": row.deployed,
                "gas": row.gas,
                "estimated": row.estimated,
                "cost_wei": str(row.gas * found.price),
            }
            for row in found.rows
        ],
        "gas": found.gas,
        "cost_wei": str(found.gas * found.price),
        "needed_wei": str(found.needed),
        "balance_wei": str(found.balance),
        "missing_wei": str(found.missing),
    }


def _show_record(record: Record, steps: Sequence[Step], as_json: bool) -> None:
    entries = [(step.name, record.content.find(step.name)) for step in steps]
    if as_json:
        contracts = [
            {"name": n, "address": address_to_text(e.address), "block": e.block, "transaction": to_hex(e.transaction)}
            for n, e in entries
        ]
        _print_json({"chain_id": record.content.chain_id, "file": str(record.path), "contracts": contracts})
        return
    for name, entry in entries:
        print(f"{name:16} {address_to_text(entry.address)}  block {entry.block}, verified")
    print(f"written to {record.path}")


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, indent=1))


def _ether(wei: int) -> str:
    """Exact, without trailing zeros."""
    whole, rest = divmod(wei, 10**18)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".") + " ether"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
