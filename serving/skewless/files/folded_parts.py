"""The record of a table's parts that a compaction folded into its days and has not removed yet.

Held by tests/offline/tables/test_compaction.py.
"""

from __future__ import annotations

from pathlib import Path

from skewless.contract.storage.part_files import RECORD, parse_folded


def folded_parts(folder: Path) -> dict[str, int]:
    """What the record of the table in `folder` says. Raises: msgspec.MsgspecError, OSError."""
    try:
        return parse_folded((folder / RECORD).read_bytes())
    except FileNotFoundError:
        return {}
