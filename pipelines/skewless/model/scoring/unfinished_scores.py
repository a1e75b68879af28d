"""Where batch scores are written before they are finished, and the lock of the run that writes them.

    .<folder>-unfinished   beside the folder of scores: its next content
    .<folder>-lock         held while a run writes it

Held by tests/model/scoring/test_batch_score.py.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from skewless.state.locks import file_lock

_UNFINISHED, _LOCK = "-unfinished", "-lock"


def unfinished_folder(folder: Path) -> Path:
    """The folder in which the next content of `folder` is built."""
    return folder.with_name(f".{folder.name}{_UNFINISHED}")


def lock_file(folder: Path) -> Path:
    """The lock of the run that writes `folder`."""
    return folder.with_name(f".{folder.name}{_LOCK}")


def unfinished_folders(root: Path) -> list[Path]:
    """Of all folders of scores below `root`, those whose run was killed or is on its way."""
    return sorted(path for path in root.rglob(f".*{_UNFINISHED}") if path.is_dir())


def wait_for_runs(root: Path, verb: str, wait: timedelta) -> None:
    """Wait until the runs that write scores below `root` now have ended. Raises: LockBusy."""
    for lock in sorted(root.rglob(f".*{_LOCK}")):
        with file_lock(lock, str(lock.parent / lock.name.removeprefix(".").removesuffix(_LOCK)), verb, wait):
            pass
