"""Reads the product's Python files as syntax trees, so that the architecture tests judge text and never run it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("keys", "contracts", "channels", "node")


@dataclass(frozen=True, slots=True)
class Module:
    """One file: dotted name, path, syntax tree, number of lines, whether it is a package's `__init__`."""

    name: str
    path: Path
    tree: ast.Module
    lines: int
    is_package: bool

    @property
    def generated(self) -> bool:
        """Generated and versioned files have their shape from their generator."""
        return ".bindings." in self.name or ".migrations." in self.name


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            relative = path.relative_to(ROOT)
            if "node_modules" in relative.parts:
                continue
            parts = list(relative.with_suffix("").parts)
            is_package = parts[-1] == "__init__"
            if is_package:
                parts.pop()
            text = path.read_text(encoding="utf-8")
            found.append(Module(".".join(parts), path, ast.parse(text), len(text.splitlines()), is_package))
    return tuple(found)


@cache
def names() -> frozenset[str]:
    return frozenset(module.name for module in modules())


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    base = module.name.split(".")
    if not module.is_package:
        base = base[:-1]
    base = base[: len(base) - (node.level - 1)]
    return ".".join([*base, *((node.module or "").split(".") if node.module else [])])


def imported(module: Module) -> Iterator[tuple[str, int]]:
    """Every dotted name that the file imports, wherever the statement stands, with its line."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield (full if full in names() else base), node.lineno


def own_imports(module: Module) -> frozenset[str]:
    """Our modules that the file imports; importing a.b.c also runs a and a.b, which are not counted as its wish."""
    return frozenset(name for name, _ in imported(module) if name in names() and name != module.name)
