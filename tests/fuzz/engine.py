"""One fuzz run by atheris, in a process of its own: `python -m tests.fuzz.engine TARGET [libFuzzer options] FOLDERS`.

Coverage guides it: the modules of the product are instrumented as they are imported. A defect ends the process with the
input in a file; `scripts/fuzz` starts it and counts.
"""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(
        include=["channels", "keys", "node.services.meter", "node.services.provider", "node.wire"]
    ):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]

    def one(data: bytes) -> None:
        target.parse(data)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
