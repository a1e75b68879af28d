"""Names of the revisions of a rollout, and which of those that are there count.

<revision>.json            in a folder
<revision>-<nonce>.json    in an object store, after a claim to the number
<revision>-<nonce>.claim   that claim

Held by tests/registry/test_model_registry.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

_NAME = re.compile(r"(\d{8})(?:-([0-9a-f]{8}))?\.(json|claim)")


class RevisionEntry(NamedTuple):
    """A revision of this number, or a claim to make it."""

    number: int
    nonce: str
    path: str
    is_revision: bool


def parse_revision_name(name: str, path: str) -> RevisionEntry | None:
    """What the file `name` at `path` is; None for any other file."""
    match = _NAME.fullmatch(name)
    return RevisionEntry(int(match[1]), match[2] or "", path, match[3] == "json") if match else None


def revision_name(number: int, nonce: str = "") -> str:
    return f"{number:08d}-{nonce}.json" if nonce else f"{number:08d}.json"


def claim_name(number: int, nonce: str) -> str:
    return f"{number:08d}-{nonce}.claim"


def undisputed(entries: Sequence[RevisionEntry]) -> dict[int, RevisionEntry]:
    """The revisions by number, but for numbers that are there twice."""
    revisions = [entry for entry in entries if entry.is_revision]
    times = Counter(entry.number for entry in revisions)
    return {entry.number: entry for entry in revisions if times[entry.number] == 1}
