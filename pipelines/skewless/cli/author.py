"""Who runs a command, for records of what was changed.

Held by tests/cli/test_apply.py.
"""

from __future__ import annotations

import getpass
import platform


def account() -> str:
    """The names of account and machine; of the machine alone where the system knows no account."""
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (AttributeError, ImportError, KeyError, OSError):  # a user id without a name, or a system without user ids
        return platform.node()
