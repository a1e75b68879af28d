"""Maps and structs that are Arrow maps or structs in some files of a table, and JSON texts in others, as pushes write them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.plan import Field, PlanView
from skewless.contract.value_types import value_type
from skewless.offline.join.view_table import ViewTable
from skewless.offline.tables import compaction
from skewless.offline.tables.append import append
from skewless.offline.tables.columns import in_common_type
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import read_history
from skewless.offline.values.feast_messages import messages
from skewless.online.materialization.newest_arrivals import packed
from skewless.runtime.errors import SourceMismatch
from tests.tables.delays_table import NOON, VIEW, put, source
from tests.tables.histories import instants

MAPPED = msgspec.structs.replace(VIEW, fields=(Field("shares", "Map"),))
POINT = msgspec.structs.replace(VIEW, fields=(Field("shares", 'Struct({"at": Float64, "names": Array(String)})'),))
LISTED = msgspec.structs.replace(VIEW, fields=(Field("shares", "Array(Map)"),))
STRUCT = pa.struct([("a", pa.int64()), ("b", pa.struct([("c", pa.float32())]))])
PAIRS = pa.map_(pa.string(), pa.list_(pa.int64()))
FORMS = [
    pa.array([{"a": 1, "b": {"c": 0.1}}, {"a": None, "b": None}, None], STRUCT),
    pa.array([[("x", [1, 2])], [], None], PAIRS),
    pa.array(['{"a": 1}', '{"z": [1, null, "ä"], "y": {"c": 0.1}}', None]),
    pa.array(['{"a": 1.0}']).dictionary_encode(),
    pa.nulls(2),
]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def table(folder: Path, *forms: pa.Array) -> TableSource:
    for number, form in enumerate(forms):
        of_form = dict.fromkeys(("event_timestamp", "created_timestamp"), instants([NOON + number] * len(form)))
        put(
            folder,
            f"part-{number}.parquet",
            origin=["JFK"] * len(form),
            mean=None,
            count=None,
            gone=[False] * len(form),
            shares=form,
            **of_form,
        )
    return source(folder)


def joined(view: PlanView, table: TableSource) -> list[bytes | None]:
    """The values as the join reads them, file by file."""
    opened = ViewTable(view, table, table.files(), view.fields)
    numbers = np.arange(sum(group.rows for group in opened.parquet.row_groups))
    (column,) = opened.fetch(opened.parquet.row_groups, numbers, view.fields, 100).columns
    return column.to_pylist()


def alone(view: PlanView, forms: list[pa.Array]) -> list[bytes | None]:
    kind = value_type(view.fields[0].dtype)
    return [message for form in forms for message in messages(kind, form).to_pylist()]


def test_each_value_is_what_it_is_in_a_table_of_one_form(tmp_path: Path):
    mixed = table(tmp_path / "mixed", *FORMS)
    rows = [
        row
        for number, form in enumerate(FORMS)
        for row in packed(MAPPED, history(MAPPED, table(tmp_path / f"only-{number}", form))).to_pylist()
    ]
    both = packed(MAPPED, history(MAPPED, mixed)).to_pylist()
    assert [row[16:] for row in both] == [row[16:] for row in rows], "all but the times, which differ by the file"
    assert joined(MAPPED, mixed) == alone(MAPPED, FORMS)


def history(view: PlanView, table: TableSource):
    return read_history(view, table, table.files())


@given(st.lists(st.none() | st.dictionaries(st.text(max_size=3), values, max_size=3), min_size=1, max_size=5))
def test_a_map_is_the_same_as_a_text(maps: list[dict[str, Any] | None]):
    kind = value_type("Map")
    texts = pa.array([None if entries is None else json.dumps(entries) for entries in maps])
    whole = messages(kind, texts)
    read = in_common_type("v", "c", texts.dictionary_encode(), kind, pa.string())
    assert messages(kind, read).equals(whole)


def test_structs_and_lists_of_maps(tmp_path: Path):
    points = [
        pa.array([{"at": 1.5, "names": ["x"]}, {"at": None, "names": []}]),
        pa.array(['{"at": 2.5, "names": ["y"]}', '{"names": null}', None]),
    ]
    lists = [pa.array([[{"a": 1}], []]), pa.array([['{"b": 2}', '{"a": "x"}'], None])]
    for view, forms in ((POINT, points), (LISTED, lists)):
        of_forms = table(tmp_path / view.fields[0].dtype[:5], *forms)
        (column,) = history(view, of_forms).columns
        assert messages(value_type(view.fields[0].dtype), column).to_pylist() == alone(view, forms)
        assert joined(view, of_forms) == alone(view, forms)


def test_what_no_text_holds_is_refused(tmp_path: Path):
    mixed = table(tmp_path, pa.array([{"a": b"\x00"}]), pa.array(["{}"]))
    with pytest.raises(SourceMismatch, match=r"'shares' .* has values in the type struct<a: binary> that do not fit"):
        history(MAPPED, mixed)
    odd = msgspec.structs.replace(VIEW, fields=(Field("shares", "ScalarMap"),))
    numbered = [pa.array([[(1, kind)]], pa.map_(pa.int64(), pa.infer_type([kind]))) for kind in (1, "x")]
    with pytest.raises(SourceMismatch, match="'shares' of its source must have one type in all files"):
        history(odd, table(tmp_path / "numbered", *numbered))


def test_parts_of_both_forms_become_one_file(tmp_path: Path):
    for number, form in enumerate(FORMS[:3]):
        folder = table(tmp_path / "whole", form).path
        (folder / "part-0.parquet").rename(folder / f"pushed-{NOON + number}-{number}.parquet")
    whole = source(tmp_path / "whole")
    before = joined(MAPPED, whole)
    for part in sorted(whole.path.glob("pushed-*")):
        compaction.run(whole, before=part_end(part), now=NOON + 100, keep=timedelta(0))
    assert [file.name for file in whole.files()] == ["parts.parquet"]
    assert pq.read_schema(whole.files()[0]).field("shares").type == pa.string()
    assert joined(MAPPED, whole) == before == alone(MAPPED, FORMS[:3])


def part_end(part: Path) -> int:
    return int(part.name.split("-")[1]) + 1


@pytest.mark.parametrize(("first", "then"), [(0, 2), (2, 0), (2, 1), (1, 2)])
def test_rows_are_appended_in_the_form_of_the_table(tmp_path: Path, first: int, then: int):
    whole = table(tmp_path / "whole", FORMS[first])
    added = pq.read_table(table(tmp_path / "added", FORMS[then]).path / "part-0.parquet")
    fits = (first, then) in {(2, 0), (2, 1)}
    if not fits:
        with pytest.raises(
            SourceMismatch, match=r"'shares' .* type string that do not fit the type (map|struct)<.* of its table"
        ):
            append(whole, added, MAPPED, now=NOON)
        assert len(whole.files()) == 1
        return
    append(whole, added, MAPPED, now=NOON)
    assert {pq.read_schema(file).field("shares").type for file in whole.files()} == {FORMS[first].type}
    assert sorted(map(str, joined(MAPPED, whole))) == sorted(map(str, alone(MAPPED, [FORMS[first], FORMS[then]])))
