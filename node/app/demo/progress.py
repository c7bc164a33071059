"""The progress display: one line per step on stderr, with a spinner on a terminal and plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Steps"]


class Steps:
    """Shows what the story does at the moment; steps may overlap."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()
        columns = (SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)

    def __enter__(self) -> Steps:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step; a step that raises is left unfinished on the display."""
        task = self._progress.add_task(title, total=1)
        self._line(f"… {title}")
        yield
        self._progress.update(task, completed=1)
        self._line(f"✓ {title}")

    def say(self, text: str) -> None:
        """A remark between the steps."""
        self._progress.console.print(text, markup=False, soft_wrap=True)

    def _line(self, text: str) -> None:
        if not self.console.is_terminal:
            elapsed = time.monotonic() - self._began
            self.console.print(f"{elapsed:6.1f} s  {text}", markup=False, soft_wrap=True)
