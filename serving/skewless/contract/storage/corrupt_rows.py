"""Finds the rows of a batch that cannot be read. The slow path after an error: rows are read one by one.

Held by tests/server/predict/test_degraded_reads.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from skewless.contract.errors import CorruptRow, UnknownSchema
from skewless.contract.storage.row_header import SCHEMA

Row = bytes | None


def corrupt(
    read: Callable[[Sequence[Row]], object], rows: Sequence[Row], entities: Sequence[str]
) -> dict[int, CorruptRow]:
    """By index, the error of each corrupt row, naming its entity. Rows of an unknown schema are not included."""
    errors = {}
    for place, row in enumerate(rows):
        try:
            with suppress(UnknownSchema):
                read([row])
        except CorruptRow as error:
            errors[place] = replace(error, entity=entities[place])
    return errors


def unlisted(unknown: UnknownSchema, rows: Sequence[Row], entities: Sequence[str]) -> dict[int, CorruptRow]:
    """By index, an error for each row of the unknown schema, which the catalog does not have either."""
    schema = bytes.fromhex(unknown.fingerprint)
    reason = f"its schema {unknown.fingerprint} is listed nowhere"
    return {
        place: CorruptRow(unknown.view, reason, entities[place])
        for place, row in enumerate(rows)
        if row is not None and row[SCHEMA] == schema
    }
