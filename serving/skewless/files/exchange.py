"""Two names change places in one step, so that a reader finds one folder or the other and never none.

Held by tests/files/test_durable.py.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path

_HERE = -100
_EXCHANGE = 2
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
"""Of Linux's C library, which Python does not wrap."""


def exchange_names(first: Path, second: Path) -> None:
    """Let two paths of one folder change places.

    On a file system that cannot do it at once (or elsewhere than on Linux) `second` is moved aside first: a reader may
    find no `second` for a moment, and a process that is killed then leaves none until the next write.
    """
    if not _at_once(first, second):
        aside = first.with_name(f"{first.name}-old")
        shutil.rmtree(aside, ignore_errors=True)  # of a killed process, whose new folder took its place since
        second.rename(aside)
        first.rename(second)
        aside.rename(first)


def _at_once(first: Path, second: Path) -> bool:
    """Whether the system can; then it is done. Raises: OSError."""
    if _renameat2 is None:
        return False
    if _renameat2(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0:
        return True
    failed = ctypes.get_errno()
    if failed in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(failed, os.strerror(failed), str(first), None, str(second))
