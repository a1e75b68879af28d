"""Who runs a command, for records of what was changed.

Held by tests/cli/test_apply.py.
"""

from __future__ import annotations

import getpass
import platform


def account() -> str:
    """The names of account and machine."""
    return f"{getpass.getuser()}@{platform.node()}"
