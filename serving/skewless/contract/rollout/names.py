"""What a model or a version may be called."""

from __future__ import annotations

import re

SANE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""It is a folder's name and part of an address."""
