"""Waiting for a condition, and an event loop whose time passes only while it waits."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

HANG_SECONDS = 400.0
"""Ends a test that hangs. No test may assert that something happens within it, however busy the machine is."""

T = TypeVar("T")


def until(condition: Callable[[], object], *, seconds: float = HANG_SECONDS) -> None:
    """Wait until `condition()` is true; give up after `seconds`."""
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, f"the condition was still false after {seconds:g} s"
        time.sleep(0.01)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while code runs, and jumps to the next timer when nothing else is ready.

    For code without I/O: a timeout beside a real socket would expire at once.
    """

    def __init__(self) -> None:
        self._selector_of_time = _JumpingSelector()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        return self._selector_of_time.now

    def advance(self, seconds: float) -> None:
        """Let time pass as if the loop were busy."""
        self._selector_of_time.now += seconds


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc]
    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None:
            self.now += max(0.0, timeout)
        return ready


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
