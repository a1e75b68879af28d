"""The body of a prediction request, parsed by a reader that is compiled once per plan."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn

import orjson

from skewless.contract.columns import ColumnValues
from skewless.contract.errors import InvalidInput
from skewless.contract.json_values import (
    PARSE,
    PARSE_KEY,
    SAMPLES,
    InvalidJsonValue,
    Json,
    as_values,
    json_constants,
    pointer_token,
)
from skewless.contract.model.assembler import fields_of
from skewless.contract.plan import Plan
from skewless.contract.storage.entity_key import KeyValue
from skewless.contract.timestamps import UtcMicros, parse_rfc3339
from skewless.contract.value_types import value_type
from skewless.server.errors import InvalidRequest, MalformedBody
from skewless.server.predict.json_decoder import JsonRowDecoder

MAX_ROWS = 1_000
MAX_ERRORS = 20
_MEMBERS = ("rows", "explain", "as_of")
Explain = Literal["", "features", "contributions"]
EXPLANATIONS: tuple[Explain, ...] = ("features", "contributions")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


class PredictRequest(NamedTuple):
    """A parsed request of `rows` rows: join keys and request inputs by name, column by column.

    `as_of` is in microseconds, None for now. `explain` selects the features that were used, or their contributions to
    the scores. `places`: the rows' indices in the original request, where this is a part of one.
    """

    rows: int
    columns: Mapping[str, Sequence[Any]]
    explain: Explain = ""
    as_of: UtcMicros | None = None
    places: Sequence[int] | None = None


class RequestColumns(NamedTuple):
    """The rows of one or several requests, column by column: join keys and request inputs, by name."""

    rows: int
    entities: Mapping[str, Sequence[KeyValue | None]]
    request: Mapping[str, ColumnValues]


class RequestReader:
    """Reads `{"rows": [{name: value, ...}, ...], "explain": "features", "as_of": time}` for one plan.

    A row has each join key and request input of the plan, and nothing else; any of them may be null.
    """

    def __init__(self, plan: Plan) -> None:
        keys = {field.name for field in plan.join_keys}
        fields = tuple((field, (PARSE_KEY if field.name in keys else PARSE)[field.dtype]) for field in fields_of(plan))
        self._fields = tuple((field.name, parse) for field, parse in fields)
        self._names = frozenset(name for name, _ in self._fields)
        self._typed = JsonRowDecoder(fields, MAX_ROWS)
        self._keys = tuple(field.name for field in plan.join_keys)
        self._inputs = tuple((field.name, value_type(field.dtype)) for field in plan.request)

    def read(self, body: bytes) -> PredictRequest:
        """Parse a body. Raises: MalformedBody, InvalidRequest with up to MAX_ERRORS errors, in the order of the rows."""
        decoded = self._typed.columns(body)
        if decoded is None:
            return self.read_slowly(body)
        rows, columns = decoded
        _refuse_duplicates(body, 1 + rows * len(self._names))
        return PredictRequest(rows, columns)

    def columns(self, requests: Sequence[PredictRequest]) -> RequestColumns:
        """The columns of some requests, their rows one request after the other."""
        if len(requests) == 1:
            columns = requests[0].columns
        else:
            columns = {
                name: [value for request in requests for value in request.columns[name]] for name, _ in self._fields
            }
        return RequestColumns(
            rows=sum(request.rows for request in requests),
            entities={name: columns[name] for name in self._keys},
            request={name: as_values(kind, columns[name]) for name, kind in self._inputs},
        )

    def read_slowly(self, body: bytes) -> PredictRequest:
        """`read` value by value: the slow definition that the typed decoder must equal."""
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            if named := json_constants(body):
                raise InvalidRequest(named[:MAX_ERRORS]) from None
            raise MalformedBody(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
        if not isinstance(parsed, dict):
            _refuse("", "must be an object with `rows`")
        as_of, rows = self._head(parsed), parsed["rows"]
        columns = self._columns(rows)
        _refuse_duplicates(body, len(parsed) + len(rows) * len(self._names))
        return PredictRequest(len(rows), columns, parsed.get("explain", ""), as_of)

    def _head(self, parsed: dict[str, Any]) -> int | None:
        """Check everything but the rows; returns `as_of`."""
        for name in parsed:
            if name not in _MEMBERS:
                _refuse(f"/{pointer_token(name)}", f"is unknown; known are {', '.join(_MEMBERS)}")
        rows = parsed.get("rows")
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
            got = f"not {len(rows)}" if isinstance(rows, list) else "and is missing or something else"
            _refuse("/rows", f"must be an array of 1 to {MAX_ROWS} rows, {got}")
        if "explain" in parsed and parsed["explain"] not in EXPLANATIONS:
            _refuse("/explain", 'must be "features" or "contributions", or left out')
        if "as_of" not in parsed:
            return None
        try:
            return parse_rfc3339(parsed["as_of"] if isinstance(parsed["as_of"], str) else "")
        except ValueError as error:
            _refuse("/as_of", str(error))

    def _columns(self, rows: list[Any]) -> dict[str, list[Any]]:
        width = len(self._names)
        if any(type(row) is not dict or len(row) != width for row in rows):
            raise InvalidRequest(self._errors(rows))
        try:
            return {name: parse([row[name] for row in rows]) for name, parse in self._fields}
        except (KeyError, InvalidJsonValue):
            raise InvalidRequest(self._errors(rows)) from None

    def _errors(self, rows: list[Any]) -> tuple[InvalidInput, ...]:
        """The errors, value by value, by the same parsers: a column is refused if and only if one of its values is."""
        errors: list[InvalidInput] = []
        for index, row in enumerate(rows):
            if isinstance(row, dict):
                errors += self._row_errors(f"/rows/{index}", row)
            else:
                errors.append(InvalidInput(f"/rows/{index}", "must be an object of join keys and request inputs"))
            if len(errors) >= MAX_ERRORS:
                break
        return tuple(errors[:MAX_ERRORS])

    def _row_errors(self, at: str, row: dict[str, Any]) -> list[InvalidInput]:
        errors = []
        for name, parse in self._fields:
            pointer = f"{at}/{pointer_token(name)}"
            if name not in row:
                errors.append(InvalidInput(pointer, "is missing; send null where the value is unknown"))
                continue
            try:
                parse([row[name]])
            except InvalidJsonValue as refused:
                errors.append(InvalidInput(pointer, str(refused)))
        unknown = [name for name in row if name not in self._names]
        known = ", ".join(name for name, _ in self._fields)
        errors += [InvalidInput(f"{at}/{pointer_token(n)}", f"is unknown; a row has {known}") for n in unknown]
        return errors


def sample_row(plan: Plan) -> dict[str, Json]:
    """An example row that fits the plan; its entity probably does not exist."""
    return {field.name: SAMPLES[field.dtype] for field in fields_of(plan)}


def _refuse(pointer: str, reason: str) -> NoReturn:
    raise InvalidRequest((InvalidInput(pointer, reason),))


def _refuse_duplicates(body: bytes, members: int) -> None:
    """Refuse an object with a duplicate name: outside of strings, valid JSON has one colon for each member."""
    if body.count(b":") == members or _STRING.sub(b"", body).count(b":") == members:
        return
    json.loads(body, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members:
            _refuse("", f"an object has the name {name!r} twice")
        members[name] = value
    return members
