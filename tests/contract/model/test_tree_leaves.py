"""The file of leaves: what is written is read, and nothing else is taken for it."""

from __future__ import annotations

import io

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.contract.errors import InvalidPlan
from skewless.contract.model.tree_leaves import LeavesHeader, RaggedLists, TreeLeaves, parse_leaves

HEAD = LeavesHeader("probabilities", "logistic", (0.25,), 2, "lightgbm")
SPLITS = {
    "columns": np.array([0, 2, 2], np.int32),
    "first": np.array([-np.inf, 1.0, np.nextafter(np.float32(1), np.float32(2))], np.float32),
    "last": np.array([0.5, 3.0, np.inf], np.float32),
    "missing": np.array([True, False, True]),
    "share": np.array([1 / 3, 0.0, 1.0]),
}
ADDS = {"targets": np.array([0, 0, 0], np.int32), "weights": np.array([0.1, -2.0, 3.5], np.float32)}
LEAVES = TreeLeaves(HEAD, RaggedLists(np.array([0, 2, 2, 3]), SPLITS), RaggedLists(np.array([0, 1, 2, 3]), ADDS))


def test_what_is_written_is_read():
    found = parse_leaves(LEAVES.to_parquet(), 3)
    assert found.head == HEAD
    for mine, theirs in ((LEAVES.splits, found.splits), (LEAVES.adds, found.adds)):
        assert mine.ends.tolist() == theirs.ends.tolist()
        for name, values in mine.arrays.items():
            assert theirs.arrays[name].dtype == values.dtype
            assert theirs.arrays[name].tobytes() == values.tobytes()
    assert LEAVES.to_parquet() == LEAVES.to_parquet()


def written(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def table() -> pa.Table:
    return pq.read_table(io.BytesIO(LEAVES.to_parquet()))


def with_head(**members: object) -> bytes:
    head = msgspec.json.decode(msgspec.json.encode(HEAD)) | members
    return written(table().replace_schema_metadata({b"skewless": msgspec.json.encode(head)}))


def with_column(name: str, lists: list[list[object] | None]) -> bytes:
    whole = table()
    place = whole.schema.get_field_index(name)
    return written(whole.set_column(place, name, pa.array(lists, whole.schema.field(name).type)))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "does not hold leaves"),
        (b"PAR1" + b"\0" * 40 + b"PAR1", "does not hold leaves"),
        (written(table().replace_schema_metadata(None)), "does not hold leaves"),
        (written(table().drop_columns(["share"])), "share"),
        (with_head(format=2), "format"),
        (with_head(link="probit"), "link"),
        (with_head(surprise=1), "surprise"),
        (with_column("first", [[0.0], [], [0.0]]), "first lacks values"),
        (with_column("share", [[0.5, None], [], [1.0]]), "share lacks values"),
        (with_column("share", [[0.5, 0.5], None, [1.0]]), "share lacks values"),
        (with_column("share", [[0.5, 1.5], [], [1.0]]), "from 0 to 1"),
        (with_column("share", [[0.5, np.nan], [], [1.0]]), "from 0 to 1"),
        (with_column("columns", [[0, 3], [], [1]]), "columns are not among the model's 3"),
        (with_column("columns", [[0, -1], [], [1]]), "columns are not among the model's 3"),
        (with_column("targets", [[0], [1], [0]]), "targets are not among the model's 1"),
    ],
)
def test_what_is_none_is_refused(content: bytes, told: str):
    with pytest.raises(InvalidPlan, match=told):
        parse_leaves(content, 3)
