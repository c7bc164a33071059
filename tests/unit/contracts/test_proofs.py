"""contracts.md, Proof: the proofs are about the code, so each fails when the rule that it is about is taken out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not (ROOT / ".venv-proof").exists(), reason="needs scripts/setup --proof"),
]
SRC = "contracts/src/"
MUTANTS = {
    "any mandate": (
        SRC + "libraries/Balances.sol",
        "gt(amount, most)",
        "gt(amount, not(most))",
        "check_aDebitIsWithinMandateAndBalance",
    ),
    "a period twice": (
        SRC + "libraries/Balances.sol",
        "iszero(gt(period, last))",
        "lt(period, last)",
        "check_aPeriodIsTakenOnce",
    ),
    "credits of anybody": (
        SRC + "libraries/Nettings.sol",
        "iszero(eq(member, other))",
        "iszero(eq(member, not(other)))",
        "check_theSum",
    ),
    "an open batch is overwritten": (
        SRC + "libraries/Places.sol",
        "word >> 32 <= VOID && ",
        "",
        "check_anOpenBatchIsNotWrittenOver",
    ),
    "a nonce that is not kept": (
        SRC + "base/Messenger.sol",
        "_nonces[account][nonce >> 8] = word | bit;",
        "",
        "check_aNonceIsUsedOnce",
    ),
    "revocations of all streams forgotten": (
        SRC + "base/Records.sol",
        "_voids[Keys.one(account, grantId, 0)] || ",
        "",
        "check_aRevokedGrantIsNeverLive",
    ),
    "transfers forgotten": (
        SRC + "base/Records.sol",
        " || entry.transfers != stream.transfers",
        "",
        "check_aTransferEndsAllGrants",
    ),
    "remainders dropped": (
        SRC + "libraries/Accumulator.sol",
        "(uint256(w) << 64) + (source >> 64 & MASK)",
        "uint256(w) << 64",
        "check_productionIsConserved_eight",
    ),
    "paid again": (
        SRC + "libraries/Accumulator.sol",
        "return (acc << 128 | (y & MASK) << 64 | shares, y >> 64);",
        "return (position, y >> 64);",
        "check_noSecondClaim",
    ),
    "no bound by power": (
        SRC + "libraries/Meters.sol",
        "wattHours * SECONDS_PER_HOUR > uint48(word >> 176) * elapsed",
        "false",
        "check_noMoreThanThePower",
    ),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What Halmos says of the proofs in a tree without any of the rules: they do not touch each other."""
    tree = tmp_path_factory.mktemp("mutants")
    for part in ("contracts", "scripts"):
        shutil.copytree(ROOT / part, tree / part)
    shutil.copy(ROOT / "foundry.toml", tree)
    # Imports resolve only inside the project, so the one library that is imported is copied.
    library = "node_modules/@openzeppelin"
    shutil.copytree(ROOT / library, tree / library)
    (tree / "node_modules" / "solc").symlink_to(ROOT / "node_modules" / "solc")
    for file, old, new, _ in MUTANTS.values():
        source = (tree / file).read_text()
        assert source.count(old) == 1, (file, old)
        (tree / file).write_text(source.replace(old, new))
    proofs = "|".join(sorted({proof for *_, proof in MUTANTS.values()}))
    run = subprocess.run(
        [str(ROOT / "scripts" / "halmos"), "--match-test", f"^({proofs})\\("],
        # The compiler warns of what a missing rule leaves unused.
        env={**os.environ, "PROOF_ROOT": str(tree), "FOUNDRY_DENY": "never"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.returncode != 0
    return re.sub(r"\x1b\[\d+m", "", run.stdout + run.stderr)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_proof_fails_without_its_rule(name: str, report: str) -> None:
    *_, proof = MUTANTS[name]
    assert re.search(rf"^\[FAIL\] {proof}\(", report, re.MULTILINE), report
