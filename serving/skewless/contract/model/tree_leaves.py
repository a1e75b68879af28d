"""The leaves of a tree model as a bundle keeps them: boxes of the model's input, from which contributions are computed.

    leaves.parquet     a row a leaf. Its box: the columns that its path splits by, and of each from where (`first`) to
                       where (`last`, both included) a value lies in it, and whether a missing one does. `share`: which
                       share of the training rows went on towards the leaf at the splits by that column. `targets`,
                       `weights`: what the leaf adds to which raw scores.

The file's metadata hold a `LeavesHeader` as JSON. A row of an input reaches a leaf iff its values lie in the box.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skewless.contract.errors import InvalidPlan

LEAVES = "leaves.parquet"
Link = Literal["none", "logistic", "softmax", "exp"]
Covers = Literal["lightgbm", "rows"]
_HEAD = b"skewless"
_SPLITS = {"columns": pa.int32(), "first": pa.float32(), "last": pa.float32(), "missing": pa.bool_()}
_SPLITS |= {"share": pa.float64()}
_ADDS = {"targets": pa.int32(), "weights": pa.float32()}


class LeavesHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the leaves belong to: the graph's `output` is the `link` of the raw scores.

    A raw score is its `base` plus `scale` times the sum of the weights of the leaves that are reached, one a tree.
    `covers`: who counted the rows at the leaves; LightGBM as it trained, or we, the `rows` of the training set.
    """

    output: str
    link: Link
    base: tuple[float, ...]
    trees: int
    covers: Covers
    scale: float = 1.0
    format: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class RaggedLists:
    """A list a leaf, one after the other: that of leaf i is from `ends[i]` to `ends[i + 1]` of each array."""

    ends: NDArray[np.int64]
    arrays: dict[str, NDArray[Any]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.ends)


@dataclass(frozen=True, slots=True)
class TreeLeaves:
    """The leaves of all trees: `splits` are their boxes, `adds` their targets and weights."""

    head: LeavesHeader
    splits: RaggedLists
    adds: RaggedLists

    def to_parquet(self) -> bytes:
        columns = {name: _column(self.splits, name, kind) for name, kind in _SPLITS.items()}
        columns |= {name: _column(self.adds, name, kind) for name, kind in _ADDS.items()}
        table = pa.table(columns).replace_schema_metadata({_HEAD: msgspec.json.encode(self.head)})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()


def parse_leaves(content: bytes, columns: int) -> TreeLeaves:
    """The leaves of a model of so many columns. Raises: InvalidPlan where they are none of this format."""
    try:
        table = pq.read_table(io.BytesIO(content))
        head = msgspec.json.decode((table.schema.metadata or {}).get(_HEAD, b""), type=LeavesHeader)
        found = TreeLeaves(head, _lists(table, _SPLITS), _lists(table, _ADDS))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise InvalidPlan(LEAVES, f"it does not hold leaves ({error})") from error
    splits, adds = found.splits.arrays, found.adds.arrays
    for name, values, limit in (("columns", splits["columns"], columns), ("targets", adds["targets"], len(head.base))):
        if ((values < 0) | (values >= limit)).any():
            raise InvalidPlan(LEAVES, f"its {name} are not among the model's {limit}")
    if not ((splits["share"] >= 0) & (splits["share"] <= 1)).all():
        raise InvalidPlan(LEAVES, "its shares are not from 0 to 1")
    return found


def _column(lists: RaggedLists, name: str, kind: pa.DataType) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(lists.ends, pa.int32()), pa.array(lists.arrays[name], kind))


def _lists(table: pa.Table, kinds: dict[str, pa.DataType]) -> RaggedLists:
    """Raises: KeyError, ValueError, pyarrow's own."""
    arrays, ends = {}, np.zeros(1, np.int64)
    for place, (name, kind) in enumerate(kinds.items()):
        column = table.column(name).combine_chunks().cast(pa.list_(kind))
        lengths = np.concatenate([[0], np.cumsum(column.value_lengths().to_numpy(zero_copy_only=False))])
        values = column.flatten()
        if column.null_count or values.null_count or (place and lengths.tolist() != ends.tolist()):
            raise ValueError(f"{name} lacks values")
        arrays[name], ends = values.to_numpy(zero_copy_only=False), lengths
    return RaggedLists(ends.astype(np.int64), arrays)
