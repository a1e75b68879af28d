"""The short way from a request's body to its columns: a JSON decoder that is compiled for a plan's types.

`RequestReader` says what a body means and what is wrong with it. Whatever is unusual gets None here, and it decides.

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
"""By type name: what msgspec takes for it; texts that stand for something else are parsed afterwards."""
_PARSED = ("Bytes", "UnixTimestamp")


class JsonRowDecoder:
    """Compiled for the `fields` that a row names: reads `{"rows": [...]}` and nothing else."""

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
        """The number of rows and their values by name, or None where the long way must decide.

        A name that an object has twice goes unseen: of its values the last is read.
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
