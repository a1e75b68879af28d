"""Columns of a history in the form that packed rows store.

Held by tests/offline/values/test_feast_messages.py.
"""

from __future__ import annotations

import pyarrow as pa

from skewless.contract.value_types import ValueType
from skewless.runtime.errors import SourceMismatch


def packable(view: str, name: str, kind: ValueType, column: pa.Array) -> pa.Array:
    """The values of the column `name`; lists, sets, maps, structs and zoned times as the bytes of Feast's Value messages.

    Raises: SourceMismatch for a value that is not of the type.
    """
    if kind.encoding != "value":
        return column
    # Feast takes seconds to import, and few views have values of these types.
    from skewless.offline.values.feast_messages import REFUSALS, messages  # noqa: PLC0415

    try:
        return messages(kind, column)
    except REFUSALS as error:
        raise SourceMismatch(view, name, f"holds a value that is not of type {kind.name} ({error})") from error
