"""architecture.md, folders and direction: who may import whom, proven over the syntax trees."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.source import Module, imported, modules, names, own_imports

ALLOWED = {
    "keys": {"keys"},
    "contracts": {"contracts"},
    "channels": {"channels", "keys"},
    "node": {"node", "channels", "keys", "contracts"},
}
# A layer may import the layers before it; members of one row may not import each other.
LAYERS = (
    ("types", "errors", "clock"),
    ("wire",),
    ("config", "observability"),
    ("projection",),
    ("storage",),
    ("ledger",),
    ("services",),
    ("runtime",),
    ("api", "web", "cli", "client"),
    ("app",),
)
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}


APART = ("node.app.commands", "node.app.demo", "node.app.simulation")
"""Programs of their own, which stand on the node's parts."""


def layer(name: str) -> str:
    return name.split(".")[1]


def test_packages_import_only_what_the_direction_allows() -> None:
    wrong = [
        f"{module.name}:{line} imports {target}"
        for module in modules()
        for target, line in imported(module)
        if target.split(".")[0] in ALLOWED and target.split(".")[0] not in ALLOWED[module.name.split(".")[0]]
    ]
    assert not wrong, "\n".join(wrong)


def test_every_module_of_the_node_has_a_layer() -> None:
    homeless = [m.name for m in modules() if m.name.startswith("node.") and layer(m.name) not in RANK]
    assert not homeless, homeless


def test_layers_of_the_node_point_left() -> None:
    wrong = []
    for module in modules():
        if not module.name.startswith("node."):
            continue
        for target in own_imports(module):
            if not target.startswith("node."):
                continue
            here, there = layer(module.name), layer(target)
            if here != there and RANK[there] >= RANK[here]:
                wrong.append(f"{module.name} -> {target}")
    assert not wrong, "\n".join(wrong)


def test_the_client_library_needs_no_node() -> None:
    """A third party's asset brings keys, the shapes of messages and the rules by which an asset pays; nothing else."""
    allowed = ("node.client", "node.wire", "node.types", "node.errors", "node.clock", "node.services.asset")
    wrong = [
        f"{module.name} -> {target}"
        for module in modules()
        if module.name.startswith("node.client")
        for target in own_imports(module)
        if target.startswith("node.") and not target.startswith(allowed)
    ]
    assert not wrong, "\n".join(wrong)


def test_services_do_not_import_each_other() -> None:
    wrong = []
    for module in modules():
        if module.name.startswith("node.services."):
            mine = module.name.split(".")[2]
            wrong += [
                f"{module.name} -> {target}"
                for target in own_imports(module)
                if target.startswith("node.services.") and target.split(".")[2] != mine
            ]
    assert not wrong, "\n".join(wrong)


def test_the_app_has_its_own_direction() -> None:
    """Common parts, then streams, then trading, then what shows both; only the outermost files see everything."""
    order = ("streams", "trading", "facade")
    outermost = ("daemon", "settling", "main", "__main__")

    def rank(name: str) -> int:
        part = name.split(".")[2] if name.count(".") > 1 else ""
        return len(order) + 1 if part in outermost else order.index(part) + 1 if part in order else 0

    wrong = [
        f"{module.name} -> {target}"
        for module in modules()
        if module.name.startswith("node.app.") and not module.name.startswith(APART)
        for target in own_imports(module)
        if target.startswith("node.app.") and rank(target) > rank(module.name)
    ]
    assert not wrong, "\n".join(wrong)


def test_nobody_imports_the_app() -> None:
    assert not [
        m.name
        for m in modules()
        if m.name != "node.app"
        and not m.name.startswith("node.app.")
        and any(t == "node.app" or t.startswith("node.app.") for t in own_imports(m))
    ]


def _graph() -> dict[str, frozenset[str]]:
    return {module.name: own_imports(module) for module in modules()}


def _rings(graph: dict[str, frozenset[str]]) -> list[list[str]]:
    """Tarjan's strongly connected components of more than one module."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on: set[str] = set()
    rings: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for target in graph[node]:
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in on:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            ring = []
            while True:
                member = stack.pop()
                on.discard(member)
                ring.append(member)
                if member == node:
                    break
            if len(ring) > 1:
                rings.append(sorted(ring))

    for node in graph:
        if node not in index:
            visit(node)
    return rings


def test_no_ring_of_imports() -> None:
    assert _rings(_graph()) == []


def test_a_ring_would_be_seen() -> None:
    graph = {"a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset({"a"}), "d": frozenset({"a"})}
    assert _rings(graph) == [["a", "b", "c"]]


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    from node import app\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import node.app\n",
    ],
)
def test_hidden_imports_count(text: str) -> None:
    """An import inside a function or for type checking only is an import."""
    some = modules()[0]
    module = Module("channels.x", some.path, ast.parse(text), 2, False)
    assert any(target.startswith("node") for target, _ in imported(module))


def test_the_tree_is_not_empty() -> None:
    assert {"keys", "contracts", "channels", "node"} <= {name.split(".")[0] for name in names()}
