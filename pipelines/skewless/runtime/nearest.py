"""What somebody probably meant who named something that there is not."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def meant(name: str, known: Collection[str], quoted: str = "{!r}") -> str:
    """A question that names the nearest of the `known` names, with a blank after it; empty where none is near."""
    like = get_close_matches(name, known, n=1)
    return f"did you mean {quoted.format(like[0])}? " if like else ""
