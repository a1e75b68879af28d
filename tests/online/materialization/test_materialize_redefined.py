"""When a watermark is not to be believed: another Redis, or rows that were written under another definition."""

from __future__ import annotations

import msgspec

from skewless.contract.plan import Field
from skewless.contract.storage.catalog import parse_schema, schema_field
from skewless.contract.storage.packed_row import RowReader
from tests.oracles import packed_row
from tests.tables.view_project import SEEN, ViewProject, at, row

WIDER = msgspec.structs.replace(SEEN, fields=(*SEEN.fields, Field("legs", "Int64")))


def test_an_emptied_redis_is_filled_from_the_beginning(project: ViewProject) -> None:
    project.write(row("N1", 0, 0))
    project.run(1)
    project.redis.flushall()
    assert project.run(2).written == 1
    assert project.online_row() == packed_row(row("N1", 0, 0))


def test_a_view_that_gained_a_feature_is_filled_from_the_beginning(project: ViewProject) -> None:
    project.write(row("N1", 0, 0))
    project.run(1)
    project.view = WIDER
    held = row("N1", 0, 0)
    table = project.data
    for file in table.rglob("*.parquet"):
        file.unlink()
    wider = type(held)(held.key, held.event, held.created, False, (1, 7), WIDER.fields)
    project.write(wider)
    counts = project.run(1)
    assert counts is not None
    assert counts.written == 1
    found = RowReader("seen", WIDER.fields, [WIDER.fields]).read([project.online_row()])
    assert [column.data.tolist() for column in found.columns] == [[1], [7]]


def test_a_view_that_lost_a_feature_is_filled_from_the_beginning(project: ViewProject) -> None:
    project.view = WIDER
    narrow = row("N1", 0, 0)
    project.write(type(narrow)(narrow.key, narrow.event, narrow.created, False, (1, 7), WIDER.fields))
    project.run(1)
    project.view = SEEN
    assert project.run(1).written == 1
    assert project.online_row() == packed_row(narrow)


def test_another_ttl_needs_no_rows_and_is_registered(project: ViewProject) -> None:
    project.write(row("N1", 0, 0))
    project.run(1)
    project.view = msgspec.structs.replace(SEEN, ttl_us=7)
    assert project.run(1).read == 0
    assert project.run(1) is None


def test_a_partial_window_under_a_new_definition_keeps_the_old_one_in_the_catalog(project: ViewProject) -> None:
    project.write(row("N1", 0, 0))
    project.run(1)
    project.view = WIDER
    project.write(
        type(row("N1", 2, 2))(("N1",), row("N1", 2, 2).event, row("N1", 2, 2).created, False, (2, 9), WIDER.fields)
    )
    project.run(3, start=at(1))
    stored = project.redis.hget(b"skewless:catalog:tests", b"view:seen")
    assert msgspec.json.decode(stored, type=type(SEEN)) == SEEN
    schema = project.redis.hget(b"skewless:catalog:tests", schema_field(project.online_row()[16:20]))
    assert parse_schema(schema) == WIDER.fields


def test_older_parts_of_a_view_that_gained_a_feature_are_told_and_null(project: ViewProject) -> None:
    project.push(row("N1", 0, 0))
    project.run(1)
    project.view = WIDER
    warnings: list[str] = []
    counts = project.run(1, warn=warnings.append)
    assert counts is not None
    assert counts.written == 1
    (warning,) = warnings
    assert "column 'legs' is absent from 1 of the 1 files that were read" in warning
    found = RowReader("seen", WIDER.fields, [WIDER.fields]).read([project.online_row()])
    assert [column.valid.tolist() for column in found.columns] == [[True], [False]]
    assert not project.run(2, warn=warnings.append).read
    assert len(warnings) == 1, "the window after reads no old file"
