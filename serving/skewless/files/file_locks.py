"""Locks of open files between the processes of one machine; the system releases a lock when its last holder ends or closes
the file. The only place that knows how a system locks.
"""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    # Windows forbids others to read what is locked, so the locked byte lies behind all that a lock's file may hold.
    _LOCKED_BYTE = 1 << 30

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Whether the open file is locked now, without waiting. `shared` admits others that share; Windows' locks never do."""
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBRLCK if shared else msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(descriptor, place, os.SEEK_SET)
        return True

else:
    import fcntl

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Whether the open file is locked now, without waiting. `shared` admits others that share; Windows' locks never do."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
