"""The names that definitions of views are stored under: `view`, `view@v2` for a version of Feast's, and with the digest of
a definition that stands beside another one, `view@1f2e3d4c`.
"""

from __future__ import annotations

import re

DIGITS = 8
"""Of a definition's digest in a stored name, at least."""
_DIGEST = re.compile(rf"@[0-9a-f]{{{DIGITS},}}$")


def plain_name(stored_as: str) -> str:
    """The stored name without the digest: where a view is pushed to."""
    return _DIGEST.sub("", stored_as)


def view_name(stored_as: str) -> str:
    """The name of the feature view in the registry."""
    return stored_as.partition("@")[0]
