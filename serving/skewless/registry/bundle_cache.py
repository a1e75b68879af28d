"""Copies of bundles whose registry is no folder of this machine, and which of them are kept.

    <folder>/<digest of what the registry lists>/<model>/<version>/

A copy's time of change says when it was last asked for. Several processes share the folder: a copy appears and goes
whole, and one that anybody asked for within the last hour stays, since it may be open.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from skewless.files.durable import new_folder

_SPARE = 3
"""Copies of a model that are kept beside those that its rollout names: going back should not need the storage."""
_OPEN_S = 3600.0


class BundleCache:
    """The copies below a folder, which need not exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, digest: str, model: str, version: str) -> Path:
        return self._folder / digest / model / version

    def fetch(self, copy: Path, names: Iterable[str], read: Callable[[str], bytes]) -> None:
        """Make a copy, whole. Raises: what `read` raises, OSError."""
        try:
            # A copy that a power cut takes is fetched again.
            with new_folder(copy, durable=False) as building:
                for name in names:
                    (building / name).write_bytes(read(name))
        except OSError:
            if not copy.is_dir():  # else another process was quicker, with the same files
                raise

    def used(self, copy: Path) -> None:
        """Note that a copy was asked for."""
        with suppress(FileNotFoundError):
            os.utime(copy)

    def prune(self, model: str, named: Collection[str], now: float) -> None:
        """Remove the copies of a model but for the newest of each version of `named`, the last few that were asked for
        besides, and those of the last hour before `now`, a POSIX time.
        """
        spare, kept = _SPARE, set(named)
        for at, copy in sorted(self._of(model), reverse=True):
            if copy.name in kept:
                kept.remove(copy.name)
            elif spare and not copy.name.startswith("."):
                spare -= 1
            elif at < now - _OPEN_S:
                self._remove(copy, at)

    def _of(self, model: str) -> list[tuple[float, Path]]:
        """When each copy was last asked for; what a killed process left of one is there too."""
        found = []
        for copy in self._folder.glob(f"*/{model}/*"):
            with suppress(FileNotFoundError):
                found.append((copy.stat().st_mtime, copy))
        return found

    def _remove(self, copy: Path, at: float) -> None:
        with suppress(OSError):  # another process was quicker, or asked for it just now
            if copy.stat().st_mtime == at:
                gone = copy.with_name(f".{uuid4().hex[:8]}")
                copy.rename(gone)
                shutil.rmtree(gone)
            for folder in (copy.parent, copy.parent.parent):
                folder.rmdir()
