"""Where our stores answer otherwise than Feast's, counted in a view's own table.

Held by tests/project/migration/test_migration.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime

import duckdb
import msgspec
import pyarrow.parquet as pq

from skewless.contract.plan import PlanView
from skewless.contract.timestamps import to_micros
from skewless.offline.tables.source import TableSource

_MEMORY = "1GB"
_TOTALS = (
    "SELECT count(*), count(*) FILTER (WHERE e > {now}), count(*) FILTER (WHERE c > e + INTERVAL 1 DAY), "
    "count(*) FILTER (WHERE c > e) FROM rows"
)
_ENTITIES = (
    "SELECT count(*), {out_of_ttl} FROM (SELECT max(e) FILTER (WHERE e <= {now}) AS newest FROM rows GROUP BY k)"
)
_VERSIONS = (
    "SELECT count(*) FILTER (WHERE times > 1), count(*) FILTER (WHERE tied) FROM "
    "(SELECT count(*) AS times, bool_or(different > 1) AS tied FROM "
    "(SELECT k, e, count(DISTINCT v) AS different FROM rows GROUP BY k, e, c) GROUP BY k, e)"
)
"""Rows have the key k, event time e, created time c and a hash v of the values."""


ADMISSION, SAME_VALUES, NEWEST_WINS = "One admission rule", "Online(t) = offline(t)", "Newest wins"
"""The laws that answers follow here, as the page of laws calls them."""


class AnswerDifference(msgspec.Struct, frozen=True):
    """Where the answers about a feature view differ from Feast's: by which law of ours, in what, and how often in its table."""

    view: str
    law: str
    what: str
    count: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.what}: {self.sentence} (law: {self.law})"


class OnDemandInputs(msgspec.Struct, frozen=True):
    """An on-demand view, and how many features its source views have."""

    view: str
    features: int

    def difference(self) -> AnswerDifference:
        """What training has of them."""
        return AnswerDifference(
            self.view, SAME_VALUES, "columns of on-demand views", self.features, f"get_historical_features of Feast returns all "
            f"{self.features:,} features of the source views beside what was asked for; here what was asked for, as online."
        )  # fmt: skip


class ViewCounts(msgspec.Struct, frozen=True):
    """Rows of a view's table, at the instant of the count.

    `expired`: entities whose newest row is out of ttl. `future`: rows of later event times. `corrections`: key and event
    time that have rows of several created times. `late`: rows that were created more than a day after their event, `unknown`
    after their event at all. `ties`: key and times that have rows with different values. `rounded`: by Float32 feature over
    doubles, how many values no float32 holds.
    """

    view: str
    rows: int
    entities: int
    expired: int = 0
    future: int = 0
    corrections: int = 0
    late: int = 0
    unknown: int = 0
    ties: int = 0
    rounded: dict[str, int] = {}

    def differences(self) -> Iterator[AnswerDifference]:
        """Where the answers differ, with the law that ours follow."""
        view = self.view
        if self.expired:
            yield AnswerDifference(
                view, ADMISSION, "ttl online", self.expired, f"{self.expired:,} entities have no row within the ttl. Feast serves "
                "their old values as PRESENT; here they are null, OUTSIDE_MAX_AGE, as in training."
            )  # fmt: skip
        if self.future:
            yield AnswerDifference(
                view, ADMISSION, "future", self.future, f"{self.future:,} rows have event times to come. Feast serves them at "
                "once; here they wait for their time."
            )  # fmt: skip
        if self.corrections:
            yield AnswerDifference(
                view, NEWEST_WINS, "corrections", self.corrections, f"{self.corrections:,} keys and event times have several "
                "created times. Feast's online store keeps the row that it wrote first; here the one created last counts, as in "
                "training."
            )  # fmt: skip
        if self.late:
            yield AnswerDifference(
                view, NEWEST_WINS, "late rows", self.late, f"{self.late:,} rows were created more than a day after their event. A "
                "daily materialize-incremental of Feast never reads them; here runs go by the time of arrival."
            )  # fmt: skip
        if self.unknown:
            yield AnswerDifference(
                view, ADMISSION, "known since", self.unknown, f"{self.unknown:,} rows were created after their event. Training "
                "sees them from the event on, as in Feast; `known_by: created_timestamp` under offline_store lets it see them "
                "once they were known."
            )  # fmt: skip
        if self.ties:
            yield AnswerDifference(
                view, SAME_VALUES, "exact ties", self.ties, f"{self.ties:,} keys and times have rows with different values. Feast "
                "takes any of them; here it is the same one each time, offline and online."
            )  # fmt: skip
        for feature, values in self.rounded.items():
            yield AnswerDifference(
                view, SAME_VALUES, "Float32", values, f"{values:,} values of {feature} are doubles that no float32 holds. Here "
                "they count as the nearest one offline too, where Feast's training has the double."
            )  # fmt: skip

    def lines(self) -> Iterator[str]:
        """The counts, and what differs: a sentence each."""
        yield f"{self.view}: {self.rows:,} rows of {self.entities:,} entities"
        yield from (f"  {difference}" for difference in self.differences())


def count(view: PlanView, source: TableSource, at: datetime) -> ViewCounts:
    """The counts of a view at an instant. Raises: SourceMissing, SourceUnreadable, duckdb.Error."""
    files = [str(file) for file in source.files()]
    columns = set(pq.read_schema(files[-1]).names)
    keys = [_quoted(source.column(key.key)) for key in view.join_keys if source.column(key.key) in columns] or ["1"]
    event = f"{_quoted(source.timestamp_field)}::TIMESTAMPTZ"
    created_column = source.created_timestamp_column
    created = (
        f"coalesce({_quoted(created_column)}::TIMESTAMPTZ, {event})"
        if created_column and created_column in columns
        else event
    )
    features = [field for field in view.fields if source.column(field.name) in columns]
    values = ", ".join(_quoted(source.column(field.name)) for field in features) or "1"
    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{_MEMORY}'; SET temp_directory = '{spill}'")
        rows = connection.read_parquet(files, union_by_name=True).project(
            f"row({', '.join(keys)}) AS k, {event} AS e, {created} AS c, hash({values}) AS v"
        )
        connection.register("rows", rows)
        now = f"make_timestamptz({to_micros(at)})"
        ttl = f"to_microseconds({view.ttl_us})" if view.ttl_us else ""
        totals = _numbers(connection, _TOTALS.format(now=now))
        out_of_ttl = f"count(*) FILTER (WHERE {now} - newest > {ttl})" if ttl else "0"
        entities = _numbers(connection, _ENTITIES.format(now=now, out_of_ttl=out_of_ttl))
        versions = _numbers(connection, _VERSIONS)
        rounded = _rounded(connection, files, [source.column(f.name) for f in features if f.dtype == "Float32"])
    return ViewCounts(
        view=view.name,
        rows=totals[0],
        entities=entities[0],
        expired=entities[1],
        future=totals[1],
        late=totals[2],
        unknown=totals[3],
        corrections=versions[0],
        ties=versions[1],
        rounded=rounded,
    )


def _rounded(connection: duckdb.DuckDBPyConnection, files: Sequence[str], columns: Sequence[str]) -> dict[str, int]:
    rows = connection.read_parquet(list(files), union_by_name=True)
    doubles = [
        name for name, kind in zip(rows.columns, rows.types, strict=True) if str(kind) == "DOUBLE" and name in columns
    ]
    if not doubles:
        return {}
    changed = ", ".join(f"count(*) FILTER (WHERE TRY_CAST({q} AS FLOAT)::DOUBLE <> {q})" for q in map(_quoted, doubles))
    counted = rows.aggregate(changed).fetchall()[0]
    return {name: values for name, values in zip(doubles, counted, strict=True) if values}


def _numbers(connection: duckdb.DuckDBPyConnection, sql: str) -> list[int]:
    return [int(value) for value in connection.execute(sql).fetchall()[0]]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
