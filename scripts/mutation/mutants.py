"""The mutants of the copy: made by mutmut, told apart by what they change."""

from __future__ import annotations

import ast
import difflib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Change", "changes", "generate"]

# mutmut's own command would also run all tests in its own way first.
_GENERATE = """
from mutmut import __main__ as run
run.set_mutant_under_test("mutant_generation")
run.makedirs("mutants", exist_ok=True)
run.copy_src_dir(); run.copy_also_copy_files(); run.create_mutants(1)
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One mutant: its name, the function it is in and the lines it puts in place of which, as `ast.unparse` writes.

    `idle`: it differs in the words of an error only, or says the same in other words.
    """

    name: str
    function: str
    old: str
    new: str
    idle: bool

    @property
    def text(self) -> str:
        return f"{self.old} -> {self.new}"


def generate(copy: Path) -> None:
    """Make `copy/mutants` from the files in `copy`; the settings are in its pyproject.toml."""
    subprocess.run([sys.executable, "-c", _GENERATE], cwd=copy, check=True, stdout=subprocess.DEVNULL)


class _Silent(ast.NodeTransformer):
    """Takes the words out of errors: what `raise X(...)` says first, and what `require` says when it fails."""

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        if isinstance(node.exc, ast.Call):
            node.exc.args = node.exc.args[1:]
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        if isinstance(node.func, ast.Name) and node.func.id == "require":
            node.args = node.args[:1]
        self.generic_visit(node)
        return node


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The function as text, without its name and docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return [ast.unparse(node.args), *(line for part in body for line in ast.unparse(part).splitlines())]


def _silent(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    quiet = _Silent().visit(ast.parse(ast.unparse(node)).body[0])
    return ast.dump(quiet.args) + "".join(map(ast.dump, quiet.body))


def _difference(old: list[str], new: list[str]) -> tuple[str, str]:
    gone, come = [], []
    for line in difflib.ndiff(old, new):
        if line.startswith("- "):
            gone.append(line[2:].strip())
        elif line.startswith("+ "):
            come.append(line[2:].strip())
    return " | ".join(gone), " | ".join(come)


def _says_the_same(old: str, new: str) -> bool:
    """Big endian is what Python converts integers by unless told otherwise; OpenSSL's names have no case."""
    shorter = {old[: found.start()] + old[found.end() :] for found in re.finditer(", 'big'", old)}
    return new in shorter or new == old.replace("'sha256'", "'SHA256'")


def changes(copy: Path) -> list[Change]:
    """Every mutant of the copy, sorted by name as mutmut numbers them."""
    found = []
    for path in sorted((copy / "mutants" / "channels").glob("*.py")):
        if not path.with_suffix(".py.meta").exists():
            continue
        functions = {
            node.name: node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "__mutmut_" in node.name
        }
        for name, node in functions.items():
            mangled, _, which = name.rpartition("__mutmut_")
            if which == "orig":
                continue
            original = functions[f"{mangled}__mutmut_orig"]
            old, new = _difference(_lines(original), _lines(node))
            readable = mangled.removeprefix("x").removeprefix("ǁ").replace("ǁ", ".").removeprefix("_")
            idle = _silent(original) == _silent(node) or _says_the_same(old, new)
            found.append(Change(f"channels.{path.stem}.{name}", f"{path.stem}.{readable}", old, new, idle))
    return found
