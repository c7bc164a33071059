"""Tries mutants: one pytest session collects the tests once, and every mutant is a fork of it.

Run by `scripts/mutate` in the folder that holds the mutated copy, as a process of its own:

    python -m scripts.mutation.trying JOB

JOB is a JSON file with `mutants` (their names), `results` (a file of JSON lines that is added to), `known` (tests that
noticed a mutant of a function before, by function), `pytest` (arguments) `left` (mutants
that the quick tests left in an interrupted run) and `children` (tests run side by side).

mutmut's generated modules call a trampoline for every function. Here that is replaced by one that leaves the original
in place and remembers it: the child that tries a mutant gives the original the mutant's code, so nothing is slowed
down and every reference to the function sees the change. A mutant is tried with the tests that reach its function,
those first that noticed a mutant of the same function, then of the same module, then the quick ones; the first that
fails ends it. What the quick tests leave is tried with the slow ones in groups, and a group that fails is halved.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any

import mutmut.mutation.trampoline
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings

__all__ = ["Tried", "main"]

UNUSABLE = 3  # exit code of a child that could not become the mutant or could not run the tests
MEMORY = 4 << 30  # bytes of address space beyond the parent's: a mutant that never stops appending fails, alone
CPU_FACTOR, CPU_LEAST = 5, 8  # a mutant that takes so many times longer, and more seconds than these, never ends
QUICK = 0.2  # seconds; slower tests are for what the quick ones leave
AT_ONCE = 16  # mutants that the slow tests try together
WALL = 900.0  # seconds, for one that waits for ever

Names = tuple[str, ...]
originals: dict[str, FunctionType] = {}  # module.mangled name -> the function in use
mutated: dict[str, dict[str, FunctionType]] = {}  # the same -> its mutants by name


def keep_in_place(mutants: dict[str, Any], is_classmethod: bool = False) -> Callable[[FunctionType], FunctionType]:
    """Stands in for mutmut's decorator. `mutants` is filled after the module's function is made."""

    def remember(function: FunctionType) -> FunctionType:
        waiting.append((function, mutants))
        return function

    return remember


waiting: list[tuple[FunctionType, dict[str, Any]]] = []


def name_all() -> None:
    """Once every module is imported: find each function's mutants."""
    for function, mutants in waiting:
        for name, mutant in mutants.items():
            plain = getattr(mutant, "__func__", mutant)
            key = f"{function.__module__}.{key_of(plain.__name__)}"
            if name == "_mutmut_orig":
                originals[key] = function
            else:
                mutated.setdefault(key, {})[name] = plain


def apply(name: str) -> None:
    """Make this process the mutant `name`."""
    module, _, mangled = name.rpartition(".")
    key = f"{module}.{mangled.rpartition('__mutmut_')[0]}"
    function, mutant = originals[key], mutated[key][mangled]
    function.__code__ = mutant.__code__
    function.__defaults__ = mutant.__defaults__
    function.__kwdefaults__ = mutant.__kwdefaults__


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one mutant: killed, timeout, survived, untested, or left for the slow tests; by which test.

    Error: no test had a say in it, because the mutant could not be applied or the child ended by itself.
    """

    name: str
    verdict: str
    by: str
    seconds: float


@dataclass(slots=True)
class Running:
    """A child at work."""

    names: Names
    pid: int
    begun: float
    said: bytearray = field(default_factory=bytearray)


class Trying:
    """The pytest plugin: takes the place of the loop over the tests."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.seconds: dict[str, float] = {}
        self.reached: dict[str, set[str]] = {}
        self.noticed: dict[str, Counter[str]] = {key: Counter(tests) for key, tests in job["known"].items()}
        self.exit_code = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Before the test modules are imported, after their conftest: the same examples each time, and no shrinking."""
        settings.register_profile(
            "mutation",
            deadline=None,
            database=None,
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport | None:
        """A failure is a failure: drawing its traceback takes longer than most tests."""
        if call.excinfo is None or call.excinfo.errisinstance((pytest.skip.Exception, pytest.xfail.Exception)):
            return None
        return pytest.TestReport(item.nodeid, item.location, {}, "failed", "", "call")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        name_all()
        items = {item.nodeid: item for item in session.items}
        if not self.measure(list(items.values())):
            self.exit_code = 2
            return True
        # What the first tests import or compute once is inherited by every fork.
        for item in sorted(session.items, key=lambda item: self.seconds[item.nodeid])[:: max(1, len(items) // 20)]:
            if self.seconds[item.nodeid] < QUICK:
                passes(item, None)
        gc.collect()
        gc.freeze()
        with Path(self.job["results"]).open("a") as results:
            self.try_all(items, lambda tried: print(json.dumps(tried_as_dict(tried)), file=results, flush=True))
        return True

    def measure(self, items: Sequence[pytest.Item]) -> bool:
        """How long each test takes as the code is, and which functions it reaches. False if one fails."""
        read, write = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(read)
            with os.fdopen(write, "w") as out:
                json.dump(self.measured(items), out)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as found:
            text = found.read()
        os.waitpid(pid, 0)
        measured = json.loads(text)
        failed = [test for test, (ok, _, _) in measured.items() if not ok]
        if failed:
            say(f"failing without any mutant: {failed}")
            return False
        for test, (_, seconds, keys) in measured.items():
            self.seconds[test] = seconds
            for key in keys:
                self.reached.setdefault(key, set()).add(test)
        say(f"{len(items)} tests, {sum(self.seconds.values()):.1f} s of CPU")
        return True

    def measured(self, items: Sequence[pytest.Item]) -> dict[str, tuple[bool, float, list[str]]]:
        codes = {function.__code__: key for key, function in originals.items()}
        found = {}
        for item, after in zip(items, [*items[1:], None], strict=True):
            seen: set[Any] = set()

            def notice(frame: FrameType, event: str, _: object, seen: set[Any] = seen) -> None:
                if event == "call":
                    seen.add(frame.f_code)

            begun = time.process_time()
            threading.setprofile(notice)
            sys.setprofile(notice)
            try:
                ok = passes(item, after)
            finally:
                sys.setprofile(None)
                threading.setprofile(None)
            keys = sorted(codes[code] for code in seen if code in codes)
            found[item.nodeid] = (ok, time.process_time() - begun, keys)
        return found

    def try_all(self, items: dict[str, pytest.Item], done: Callable[[Tried], None]) -> None:
        """Each mutant with its quick tests, then what is left with the slow ones, several at a time."""
        left: list[str] = list(self.job["left"])

        def first(names: Names, verdict: str, by: str, seconds: float) -> list[Names]:
            if verdict in ("survived", "untested"):
                left.extend(names)
                done(Tried(names[0], "left", by, seconds))
            else:
                done(Tried(names[0], verdict, by, seconds))
            return []

        def second(names: Names, verdict: str, by: str, seconds: float) -> list[Names]:
            if len(names) > 1 and verdict not in ("survived", "untested"):
                return [names[: len(names) // 2], names[len(names) // 2 :]]
            for name in names:
                done(Tried(name, verdict if self.reached.get(key_of(name)) else "untested", by, seconds))
            return []

        self.run_queue([(name,) for name in self.job["mutants"]], items, lambda test: self.seconds[test] < QUICK, first)
        say(f"{len(left)} left after the quick tests")
        self.run_queue(together(left), items, lambda test: self.seconds[test] >= QUICK, second)

    def run_queue(
        self,
        queue: list[Names],
        items: dict[str, pytest.Item],
        wanted: Callable[[str], bool],
        ended: Callable[[Names, str, str, float], list[Names]],
    ) -> None:
        """Try every group in a fork; `ended` is told what came of it and says what to try instead of it."""
        queue.reverse()
        running: dict[int, Running] = {}
        while queue or running:
            while queue and len(running) < self.job["children"]:
                names = queue.pop()
                tests = [items[test] for test in self.order(names) if wanted(test)]
                if tests:
                    fd, child = self.start(names, tests)
                    running[fd] = child
                else:
                    queue.extend(ended(names, "untested", "", 0.0))
            for fd in select.select(list(running), [], [], 5.0)[0]:
                data = os.read(fd, 4096)
                running[fd].said += data
                if not data:
                    os.close(fd)
                    child = running.pop(fd)
                    queue.extend(ended(child.names, *self.end(child)))
            for child in running.values():
                if time.monotonic() - child.begun > WALL:
                    os.kill(child.pid, signal.SIGKILL)

    def order(self, names: Names) -> list[str]:
        """The tests that reach one of the functions, the likeliest to notice first."""
        keys = {key_of(name) for name in names}
        here = sum((self.noticed.get(key, Counter()) for key in keys), Counter())
        module = sum((self.noticed.get(key, Counter()) for key in {key.rpartition(".")[0] for key in keys}), Counter())
        tests = set().union(*(self.reached.get(key, set()) for key in keys))
        return sorted(tests, key=lambda test: (-here[test], -module[test], self.seconds[test]))

    def start(self, names: Names, tests: Sequence[pytest.Item]) -> tuple[int, Running]:
        read, write = os.pipe()
        limit = int(max(CPU_LEAST, CPU_FACTOR * sum(self.seconds[item.nodeid] for item in tests)))
        if (pid := os.fork()) == 0:
            os.close(read)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            code = UNUSABLE
            try:
                for name in names:
                    apply(name)
                by = first_failure(tests)
                os.write(write, by.encode())
                code = 0 if not by else 1
            finally:
                if code == UNUSABLE:
                    say(f"{', '.join(names)}: {traceback.format_exc()}")
                os._exit(code)
        os.close(write)
        return read, Running(names, pid, time.monotonic())

    def end(self, child: Running) -> tuple[str, str, float]:
        """Verdict, the test that noticed, seconds."""
        _, status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        by = child.said.decode()
        verdict = verdict_of(code, by)
        if verdict == "killed" and len(child.names) == 1:
            key = key_of(child.names[0])
            for each in (key, key.rpartition(".")[0]):
                self.noticed.setdefault(each, Counter())[by] += 1
        return verdict, by, round(time.monotonic() - child.begun, 2)


def key_of(name: str) -> str:
    """The function that a mutant is of."""
    return name.rpartition("__mutmut_")[0]


def verdict_of(code: int, by: str) -> str:
    """What a child says by its exit. Only a test that is named killed a mutant; any other end is an error."""
    if code == 1 and by:
        return "killed"
    return {0: "survived", -signal.SIGXCPU: "timeout", -signal.SIGKILL: "timeout"}.get(code, "error")


def together(names: Sequence[str]) -> list[Names]:
    """Groups of mutants of different functions, which can be tried at the same time: most of them change nothing."""
    groups: list[list[str]] = []
    for name in names:
        fitting = (g for g in groups if len(g) < AT_ONCE and key_of(name) not in map(key_of, g))
        group = next(fitting, None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return [tuple(group) for group in groups]


def passes(item: pytest.Item, after: pytest.Item | None) -> bool:
    """Run one test; whether nothing of it failed."""
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=after))


def first_failure(tests: Sequence[pytest.Item]) -> str:
    """The first test that fails, or nothing."""
    for item, after in zip(tests, [*tests[1:], None], strict=True):
        if not passes(item, after):
            return item.nodeid
    return ""


def tried_as_dict(tried: Tried) -> dict[str, object]:
    return {"name": tried.name, "verdict": tried.verdict, "by": tried.by, "seconds": tried.seconds}


def say(text: str) -> None:
    print(text, file=sys.__stderr__, flush=True)


def main() -> int:
    """Read the job, run the session."""
    job = json.loads(Path(sys.argv[1]).read_text())
    mutmut.mutation.trampoline.wrap_in_trampoline = keep_in_place  # type: ignore[assignment]
    sys.path.insert(0, str(Path.cwd()))
    plugin = Trying(job)
    own = ["--rootdir=.", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore"]
    pytest.main([*own, *job["pytest"]], plugins=[plugin])
    return plugin.exit_code


if __name__ == "__main__":
    sys.exit(main())
