"""The slow, obvious definitions: plain Python, one row and one value at a time, right by inspection.

A fast path that disagrees with these is wrong. They share no code with it but the plan's data classes. Numbers of
feature types Float32 and Float64 are NumPy scalars, which keep every bit of a NaN; all others are Python values, and
timestamps are integers in microseconds. A null is None.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import operator
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from skewless.contract.admission import KnownBy
from skewless.contract.plan import ColumnSource, Field, Plan, PlanView

Value = int | float | bool | str | bytes | np.float32 | np.float64 | None
Key = tuple[str | bytes | int | None, ...]
FEAST_NUMBERS = {"Bytes": 1, "String": 2, "Int32": 3, "Int64": 4, "UnixTimestamp": 8}
FORMATS = {"Int32": "<i", "Int64": "<q", "UnixTimestamp": "<q", "Bool": "<?"}
FIXED = {*FORMATS, "Float32", "Float64"}
"""All other types are bytes of any length: texts, and lists, maps and the like as the bytes of Feast's messages."""


@dataclass(frozen=True)
class Row:
    """A row of a source: one entity's values in one view, true since `event`, known since `created`."""

    key: Key
    event: int
    created: int
    deleted: bool
    values: tuple[Value, ...]
    schema: tuple[Field, ...]


@dataclass(frozen=True)
class Rule:
    """An admission rule in words: see law 1."""

    ttl_us: int
    known_by: KnownBy

    def admits(self, row: Row, at: int) -> bool:
        if row.event > at:
            return False
        return not (self.known_by == "created_timestamp" and row.created > at)


@dataclass(frozen=True)
class Spine:
    """A row to join features to."""

    keys: Mapping[str, str | bytes | int | None]
    at: int


@dataclass(frozen=True)
class Joined:
    """What one view says for one spine row. `values` are those of all the view's fields, None unless PRESENT."""

    status: str
    values: tuple[Value, ...]
    row: Row | None


def as_of(history: Iterable[Row], key: Key, at: int, rule: Rule) -> Row | None:
    """The row that a server would have used for `key` at `at`, stale or tombstone included."""
    if None in key:
        return None
    admissible = [row for row in history if row.key == key and rule.admits(row, at)]
    return max(admissible, key=lambda row: (row.event, row.created, packed_row(row)[20:]), default=None)


def view_status(used: Row | None, at: int, rule: Rule) -> str:
    if used is None or used.deleted:
        return "NOT_FOUND"
    if rule.ttl_us > 0 and at - used.event > rule.ttl_us:
        return "STALE"
    return "PRESENT"


def feature_status(status: str, value: Value) -> str:
    return "NULL" if status == "PRESENT" and value is None else status


def rule_of(view: PlanView) -> Rule:
    return Rule(view.ttl_us, view.known_by)


def join(spine: Sequence[Spine], histories: Mapping[str, Sequence[Row]], plan: Plan) -> list[dict[str, Joined]]:
    """For each spine row, in order, what each view says. `histories` are by the view's name in the stores."""
    joined = []
    for row in spine:
        found = {}
        for view in plan.views:
            key = tuple(row.keys[join_key.name] for join_key in view.join_keys)
            used = as_of(histories[view.stored_as], key, row.at, rule_of(view))
            status = view_status(used, row.at, rule_of(view))
            values = used.values if used is not None and status == "PRESENT" else (None,) * len(view.fields)
            found[view.name] = Joined(status, values, used)
        joined.append(found)
    return joined


def labels_known_by(
    labels: Sequence[int | None], known: Sequence[datetime | None], by: datetime
) -> list[tuple[int, float]]:
    """The numbers of the rows whose label was known at `by` (included), each with its label."""
    return [
        (number, float(label))
        for number, (label, since) in enumerate(zip(labels, known, strict=True))
        if label is not None and since is not None and since <= by
    ]


def merged(writes: Iterable[tuple[object, bytes]]) -> dict[object, bytes]:
    """What newest-wins leaves of packed rows written to places, one after the other."""
    state: dict[object, bytes] = {}
    for place, new in writes:
        old = state.get(place)
        if (
            old is None
            or _times(new) > _times(old)
            or (_times(new) == _times(old) and (new[16:20] != old[16:20] or new[20:] > old[20:]))
        ):
            state[place] = new
    return state


def _times(row: bytes) -> tuple[int, int]:
    event, created = struct.unpack(">QQ", row[:16])
    return event - 2**63, created - 2**63


def number_bytes(dtype: str, value: Value) -> bytes:
    """A number as it lies in a row, little-endian; a null is zeros."""
    if dtype in {"Float32", "Float64"}:
        exact = np.float32 if dtype == "Float32" else np.float64
        return (value if isinstance(value, exact) else exact(value or 0.0)).tobytes()
    return struct.pack(FORMATS[dtype], value if value is not None else 0)


def text_bytes(value: Value) -> bytes:
    """A text as it lies in a row; a null is empty."""
    if value is None:
        return b""
    return value.encode() if isinstance(value, str) else value


def bits(dtype: str, value: Value) -> bytes | None:
    """What two values must share to be the same; None for a null."""
    if value is None:
        return None
    return number_bytes(dtype, value) if dtype in FIXED else text_bytes(value)


def packed_row(row: Row, *, older: bool = False) -> bytes:
    """One packed row, byte by byte. It is narrow where that loses nothing, but for what an `older` version wrote."""
    order = struct.pack(">QQ", row.event + 2**63, row.created + 2**63)
    names = "\n".join(f"{field.name}:{field.dtype}" for field in row.schema)
    schema = hashlib.sha256(names.encode()).digest()[:4]
    integers = [v or 0 for field, v in zip(row.schema, row.values, strict=True) if field.dtype == "Int64"]
    narrow = not older and bool(integers) and all(-(2**31) <= value < 2**31 for value in integers)
    tombstone = 0x01 if older else 0x81
    flags = bytes([(tombstone if row.deleted else 0) + (2 if narrow else 0)])
    nulls = [0] * ((len(row.schema) + 7) // 8)
    fixed = bodies = b""
    for place, (field, value) in enumerate(zip(row.schema, row.values, strict=True)):
        if value is None:
            nulls[place // 8] |= 1 << (place % 8)
        if field.dtype in FIXED:
            fixed += number_bytes("Int32" if narrow and field.dtype == "Int64" else field.dtype, value)
        else:
            bodies += text_bytes(value)
            fixed += struct.pack("<I", len(bodies))
    return order + schema + flags + bytes(nulls) + fixed + bodies


def milliseconds_left(row: bytes, horizon_ms: int, longest_ms: int) -> int:
    """For how long from now a server that expires rows keeps this one, given `Rule.horizon` in milliseconds; 0: not."""
    (event,) = struct.unpack(">Q", row[:8])
    return max(0, min((event - 2**63) // 1000 - horizon_ms, longest_ms))


def entity_key(project: str, values: Mapping[str, tuple[str, str | bytes | int]]) -> bytes:
    """The Redis key of an entity whose join keys have these types and values."""
    key = struct.pack("<I", len(values))
    for name in sorted(values):
        key += struct.pack("<II", FEAST_NUMBERS["String"], len(name.encode())) + name.encode()
    for name in sorted(values):
        dtype, value = values[name]
        if dtype == "String":
            packed = value.encode()
        elif dtype == "Bytes":
            packed = value
        elif dtype == "UnixTimestamp":
            packed = struct.pack("<q", value // 1_000_000)
        else:
            packed = struct.pack(FORMATS[dtype], value)
        key += struct.pack("<II", FEAST_NUMBERS[dtype], len(packed)) + packed
    return key + project.encode()


def model_input(plan: Plan, values: Mapping[ColumnSource, Value]) -> list[np.float32]:
    """A model's input row, one value at a time: the value cast to float32, else the default, else NaN."""
    return [model_value(values[column.source], column.default) for column in plan.columns]


def model_value(value: Value, default: float | None) -> np.float32:
    if value is None:
        return np.float32(np.nan if default is None else default)
    if isinstance(value, np.float32):
        return value
    if isinstance(value, int):
        return np.int64(value).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.float32(value)


@dataclass(frozen=True)
class Leaf:
    """What a tree adds to each raw score, and how many training rows got here."""

    weights: tuple[float, ...]
    rows: int


@dataclass(frozen=True)
class Split:
    """A node of a tree, as ONNX has it: to `true` if the value compares so to the threshold, or is missing and tracked."""

    column: int
    mode: str
    threshold: float
    missing_true: bool
    true: Split | Leaf
    false: Split | Leaf


Tree = Split | Leaf
COMPARE = {"BRANCH_LEQ": operator.le, "BRANCH_LT": operator.lt, "BRANCH_GTE": operator.ge, "BRANCH_GT": operator.gt}


def rows_at(tree: Tree) -> int:
    return tree.rows if isinstance(tree, Leaf) else rows_at(tree.true) + rows_at(tree.false)


def expected(tree: Tree, row: Sequence[float], known: Collection[int], target: int) -> float:
    """What a tree tells of a row of which only some columns are known: elsewhere both branches count, by their rows."""
    if isinstance(tree, Leaf):
        return tree.weights[target]
    if tree.column in known:
        value = row[tree.column]
        true = tree.missing_true if math.isnan(value) else COMPARE[tree.mode](value, tree.threshold)
        return expected(tree.true if true else tree.false, row, known, target)
    true_rows, false_rows = rows_at(tree.true), rows_at(tree.false)
    share = true_rows / (true_rows + false_rows) if true_rows + false_rows else 0.5
    both = [expected(branch, row, known, target) for branch in (tree.true, tree.false)]
    return share * both[0] + (1 - share) * both[1]


def contributions(trees: Sequence[Tree], row: Sequence[float], target: int = 0) -> list[float]:
    """The Shapley value of each column, by its definition: over all sets of the others, in exponential time."""
    columns = range(len(row))
    worth = {
        known: sum(expected(tree, row, known, target) for tree in trees)
        for size in range(len(row) + 1)
        for known in itertools.combinations(columns, size)
    }
    found = [0.0] * len(row)
    for column in columns:
        for known, value in worth.items():
            if column not in known:
                chance = 1 / (len(row) * math.comb(len(row) - 1, len(known)))
                found[column] += chance * (worth[tuple(sorted((*known, column)))] - value)
    return found
