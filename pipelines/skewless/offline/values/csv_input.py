"""CSV files, read in one way for every purpose, so that the same cell is the same value in a table and in a spine.

A missing value is nothing between two separators: `NA` may be a country and `null` a name, and a quoted nothing is a text.
The separator is a comma, else the semicolon or the tab that the first line has, as spreadsheets write it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from skewless.offline.values.exact_values import cast_exactly

_LONGEST_HEAD = 1 << 20
"""Bytes of the first line that are looked at."""


def read_csv(source: Path | bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    """All rows of a file, which may be compressed as its name says, or of its content: columns in these types, the others
    as they look. Raises: OSError, pa.ArrowException.
    """
    options = csv.ConvertOptions(
        column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    opened = source if isinstance(source, Path) else pa.BufferReader(source)
    parsing = csv.ParseOptions(delimiter=_delimiter(source))
    return csv.read_csv(opened, parse_options=parsing, convert_options=options)


def _delimiter(source: Path | bytes) -> str:
    if isinstance(source, Path):
        with pa.input_stream(str(source)) as stream:
            head = stream.read(_LONGEST_HEAD)
    else:
        head = source[:_LONGEST_HEAD]
    first = head.partition(b"\n")[0].decode(errors="replace")
    return next((mark for mark in (";", "\t") if "," not in first and mark in first), ",")


def is_number(kind: pa.DataType) -> bool:
    """Whether `numbers` makes the values of this type of texts."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def numbers(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Texts as numbers or booleans: whole ones as int64, or as double where they are written so ("1.0"). Raises: InexactValue."""
    exact = [] if pa.types.is_floating(kind) else [pa.bool_() if pa.types.is_boolean(kind) else pa.int64()]
    for wanted in exact:
        try:
            return texts.cast(wanted)
        except pa.ArrowInvalid:
            continue
    return cast_exactly(texts, pa.float64())
