"""The fast path from a request's body to its columns: a JSON decoder that is compiled for a plan's types.

`RequestReader` defines what a body means and which errors it has. For whatever is unusual the decoder returns None, and
the reader parses the body value by value.

Held by tests/server/predict/test_request.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from skewless.contract.json_values import FLOAT32_MAX, FLOAT64_MAX, InvalidJsonValue, Parse
from skewless.contract.plan import Field

_KINDS: dict[str, Any] = {
    "Bytes": str,
    "String": str,
    "Int32": Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)],
    "Int64": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    "Float64": Annotated[float, Meta(ge=-FLOAT64_MAX, le=FLOAT64_MAX)],
    "Float32": Annotated[float, Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)],
    "Bool": bool,
    "UnixTimestamp": str,
}
"""By type name, the type that msgspec decodes; strings that encode another type are parsed afterwards."""
_PARSED = ("Bytes", "UnixTimestamp")


class JsonRowDecoder:
    """Compiled for the `fields` of a row: decodes `{"rows": [...]}` and nothing else."""

    def __init__(self, fields: Sequence[tuple[Field, Parse]], most_rows: int) -> None:
        names = {field.name: f"f{place}" for place, (field, _) in enumerate(fields)}
        row = msgspec.defstruct(
            "Row",
            [(names[field.name], _KINDS[field.dtype] | None) for field, _ in fields],
            rename={short: name for name, short in names.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        rows = Annotated[list[row], Meta(min_length=1, max_length=most_rows)]  # type: ignore[valid-type]
        body = msgspec.defstruct("Body", [("rows", rows)], forbid_unknown_fields=True, gc=False)
        self._decode = msgspec.json.Decoder(body).decode
        self._columns: tuple[tuple[str, Callable[[Any], Any], Parse | None], ...] = tuple(
            (field.name, attrgetter(names[field.name]), parse if field.dtype in _PARSED else None)
            for field, parse in fields
        )

    def columns(self, body: bytes) -> tuple[int, dict[str, list[Any]]] | None:
        """The number of rows and their values by name, or None where the slow path must decide.

        A name that occurs twice in an object is not noticed: its last value counts.
        """
        try:
            rows = self._decode(body).rows  # type: ignore[attr-defined]
            columns = {}
            for name, get, parse in self._columns:
                column = list(map(get, rows))
                columns[name] = column if parse is None else parse(column)
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidJsonValue):
            return None
        return len(rows), columns
