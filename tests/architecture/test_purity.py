"""style.md 1, 4 and 8: the pure core and the protocol modules do no I/O and know no time, chance or float."""

from __future__ import annotations

import ast

from tests.architecture.source import Module, imported, modules

IMPURE = {
    "aiohttp",
    "aiomqtt",
    "asyncio",
    "concurrent",
    "datetime",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "shutil",
    "signal",
    "socket",
    "sqlalchemy",
    "sqlite3",
    "ssl",
    "structlog",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
    "web3",
}
# What of `channels` talks to the world; everything else at the top of the package is protocol.
CHANNEL_IO = (
    "channels.stores",
    "channels.transports",
    "channels.guard",
    "channels.highwater",
    "channels.private_log",
    "channels.examples",
)


def protocol_modules() -> list[Module]:
    return [m for m in modules() if m.name.startswith("channels.") and not m.name.startswith(CHANNEL_IO)]


def projection_modules() -> list[Module]:
    return [m for m in modules() if m.name.startswith("node.projection")]


def _impure(found: list[Module]) -> list[str]:
    return [f"{m.name}:{line} imports {t}" for m in found for t, line in imported(m) if t.split(".")[0] in IMPURE]


def test_protocol_modules_of_channels_do_no_io() -> None:
    assert protocol_modules()
    assert _impure(protocol_modules()) == []


def test_projection_does_no_io() -> None:
    assert projection_modules()
    assert _impure(projection_modules()) == []


def test_projection_and_protocol_are_not_async() -> None:
    wrong = [
        f"{m.name}:{n.lineno}"
        for m in [*projection_modules(), *protocol_modules()]
        for n in ast.walk(m.tree)
        if isinstance(n, ast.AsyncFunctionDef | ast.Await)
    ]
    assert not wrong, wrong


def test_projection_has_no_float() -> None:
    wrong = []
    for module in projection_modules():
        for node in ast.walk(module.tree):
            literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
            named = isinstance(node, ast.Name) and node.id == "float"
            divided = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
            if literal or named or divided:
                wrong.append(f"{module.name}:{getattr(node, 'lineno', 0)}")
    assert not wrong, wrong


def test_broad_except_stands_in_the_supervisor_around_plug_ins_and_at_the_mailbox_only() -> None:
    """At the mailbox, because one parcel that breaks its taker must not come again for ever; over HTTP the server's
    library does that."""
    wrong = []
    allowed = ("node.runtime.supervisor", "node.services.market.foreign", "node.app.mail")
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler):
                caught = node.type
                names = [caught] if not isinstance(caught, ast.Tuple) else caught.elts
                broad = caught is None or any(
                    isinstance(n, ast.Name) and n.id in {"Exception", "BaseException"} for n in names if n is not None
                )
                if broad and module.name not in allowed:
                    wrong.append(f"{module.name}:{node.lineno}")
    assert not wrong, wrong
