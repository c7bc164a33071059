"""No installed distribution may provide a top-level package of our names, or one would shadow the other."""

from __future__ import annotations

import re
from importlib.metadata import distributions, packages_distributions

from tests.architecture.source import PACKAGES, ROOT


def test_no_dependency_provides_our_names() -> None:
    owners = packages_distributions()
    for package in PACKAGES:
        foreign = set(owners.get(package, [])) - {"wattpact"}
        assert not foreign, f"{foreign} also provide a top-level package {package}"


def test_no_module_is_named_after_a_dependency() -> None:
    """A file named like an installed package breaks libraries that import the real one from a script's folder."""
    taken = {re.sub(r"[-.]", "_", (d.metadata["Name"] or "").lower()) for d in distributions()} | {"crypt"}
    top = {path.stem for package in PACKAGES for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert not {name for name in top & taken if name != "wattpact"}


def test_locks_carry_hashes_and_no_addresses() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-bootstrap.lock", "requirements-node.lock"):
        text = (ROOT / name).read_text()
        pins = re.findall(r"^([a-z0-9_.-]+)(?:\[[a-z,]+\])?==", text, re.MULTILINE)
        assert pins, name
        assert text.count("--hash=sha256:") >= len(pins), name
        assert "://" not in text, name
    assert "resolved" not in (ROOT / "package-lock.json").read_text()
