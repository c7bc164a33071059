"""style.md 5, 7 and 13: sizes, exports and error roots. The lists of exceptions may only shrink."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

from tests.architecture.source import PACKAGES, ROOT, Module, modules

ROOTS = {"keys": "KeysError", "channels": "ChannelError", "contracts": "ContractsError", "node": "NodeError"}
MAX_FILE, MAX_FUNCTION, MAX_CONSTRUCTOR = 400, 60, 7
LONG_FILES: frozenset[str] = frozenset()
LONG_FUNCTIONS: frozenset[str] = frozenset()
# Paths end where the machine of whoever wrote them begins.
MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|root)/")


def _functions(module: Module) -> list[tuple[str, int, int]]:
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            arguments = len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs) - 1
            found.append((f"{module.name}:{node.name}", length, arguments if node.name == "__init__" else 0))
    return found


def test_files_are_one_noun_long() -> None:
    long = {m.name: m.lines for m in modules() if m.lines > MAX_FILE and not m.generated}
    assert set(long) == LONG_FILES, long


def test_functions_are_short() -> None:
    long = {name: n for m in modules() if not m.generated for name, n, _ in _functions(m) if n > MAX_FUNCTION}
    assert set(long) == LONG_FUNCTIONS, long


def test_constructors_take_few_parameters() -> None:
    wide = {name: n for m in modules() if not m.generated for name, _, n in _functions(m) if n > MAX_CONSTRUCTOR}
    assert not wide, wide


def _all(module: Module) -> list[str] | None:
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return [str(item) for item in ast.literal_eval(node.value)]
    return None


def _rank(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by name: the order that the linter keeps."""
    return (0 if name.isupper() else 1 if name.lstrip("_")[:1].isupper() else 2, name)


def test_exports_are_declared_and_sorted() -> None:
    wrong = []
    for module in modules():
        private = any(part.startswith("_") for part in module.name.split("."))
        if private or module.generated or module.name.endswith("__main__"):
            continue
        defines = any(
            isinstance(n, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not n.name.startswith("_")
            for n in module.tree.body
        )
        names = _all(module)
        if names is None:
            if defines:
                wrong.append(f"{module.name} has no __all__")
        elif names != sorted(names, key=_rank):
            wrong.append(f"{module.name}.__all__ is not sorted")
    assert not wrong, "\n".join(wrong)


def test_each_package_has_one_error_root() -> None:
    """Every exception class of a package descends from the one root that its errors.py defines first."""
    for package in PACKAGES:
        bases: dict[str, list[str]] = {}
        for module in modules():
            if module.name.split(".")[0] != package or module.generated:
                continue
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ClassDef):
                    bases[node.name] = [
                        b.id if isinstance(b, ast.Name) else b.attr
                        for b in node.bases
                        if isinstance(b, ast.Name | ast.Attribute)
                    ]
        root = ROOTS[package]

        def descends(name: str, table: dict[str, list[str]] = bases, top: str = root) -> bool:
            return name == top or any(descends(b, table, top) for b in table.get(name, []))

        builtin = {"Exception", "ValueError", "RuntimeError", "KeyError", "TypeError", "OSError", "BaseException"}
        strays = [
            name
            for name, parents in bases.items()
            if name != root and any(p in builtin for p in parents) and not descends(name)
        ]
        assert not strays, f"{package}: {strays} do not descend from {root}"


def test_the_error_tree_is_drawn() -> None:
    for package in PACKAGES:
        path = ROOT / package / "errors.py"
        assert path.exists(), f"{package} has no errors.py"
        assert "Error" in (ast.get_docstring(ast.parse(path.read_text())) or ""), f"{path} does not draw its tree"


def test_no_machine_paths() -> None:
    wrong = []
    suffixes = {".py", ".sol", ".md", ".toml", ".json", ".sh"}
    foreign = {".venv", ".venv-proof", "node_modules", "build", ".git", ".hypothesis", "vendor", "__pycache__"}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in foreign]
        for path in (Path(folder, name) for name in files):
            relative = path.relative_to(ROOT)
            if (path.suffix not in suffixes and path.name != "Makefile") or path == Path(__file__):
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if MACHINE_PATH.search(line):
                    wrong.append(f"{relative}:{number}")
    assert not wrong, "\n".join(wrong)
