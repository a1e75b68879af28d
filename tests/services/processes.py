"""Processes that should have ended."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil


def living(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Which of them are still there after a while; who ended and was not asked for by its parent is not."""
    last, left = time.monotonic() + seconds, list(processes)
    while (left := [one for one in left if _lives(one)]) and time.monotonic() < last:
        time.sleep(0.02)
    return left


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
