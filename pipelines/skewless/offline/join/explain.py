"""What a join is going to do, before it does it: what is read of each view, and how much memory that takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from skewless.offline.join.point_in_time import PointInTimeJoin
from skewless.offline.join.view_join import ViewJoin, ViewRequest

_MIB = 1 << 20


@dataclass(slots=True)
class ViewPlan:
    """Of one view the files and row groups that can hold an answer, of all that there are (row groups: of all in the
    files that may be read at all), and the compressed bytes to read: keys and times, and features at most, since row
    groups without an answer are left out.
    """

    view: str
    files_in_all: int
    files: set[Path] = field(default_factory=set)
    row_groups: set[tuple[Path, int]] = field(default_factory=set)
    row_groups_in_all: int = 0
    key_bytes: int = 0
    feature_bytes: int = 0

    def add(self, view: ViewJoin, request: ViewRequest) -> None:
        """A block of the spine."""
        parquet = view.table.parquet
        for group in view.row_groups(request):
            self.files.add(parquet.files[group.file])
            self.row_groups.add((parquet.files[group.file], group.number))
            keys = sum(group.sizes[: len(view.table.key_columns)])
            self.key_bytes += keys
            self.feature_bytes += sum(group.sizes) - keys
        self.row_groups_in_all = max(self.row_groups_in_all, len(parquet.row_groups))

    def __str__(self) -> str:
        return (
            f"{self.view}: {len(self.files):,} of {self.files_in_all:,} files, "
            f"{len(self.row_groups):,} of {self.row_groups_in_all:,} row groups; "
            f"{_mib(self.key_bytes)} of keys and times, at most {_mib(self.feature_bytes)} of features"
        )


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """The spine's rows, the blocks that they are joined in one after the other, the bytes that the join works in
    beside the spine and its result, and what is read of each view.
    """

    rows: int
    blocks: int
    memory: int
    views: tuple[ViewPlan, ...]

    def __str__(self) -> str:
        blocks = "1 block" if self.blocks == 1 else f"{self.blocks:,} blocks, each of which reads what it needs"
        summary = f"{self.rows:,} rows in {blocks}; about {_mib(self.memory)} of memory, nothing is spilled to disk"
        return "\n".join([summary, *(f"  {view}" for view in self.views)])


def explain(joins: Iterable[PointInTimeJoin]) -> JoinPlan:
    """The plan of joins that follow each other: of the parts of one spine."""
    rows = blocks = memory = 0
    views: dict[str, ViewPlan] = {}
    for join in joins:
        rows += join.rows
        for start in join.starts():
            blocks += 1
            memory = max(memory, join.bounds.expected_bytes(min(join.rows - start, join.bounds.rows_a_block)))
            for view in join.views:
                name = view.view.name
                if name not in views:
                    views[name] = ViewPlan(name, len(view.table.source.files()))
                views[name].add(view, join.request(view, start, join.bounds.rows_a_block))
    return JoinPlan(rows, blocks, memory, tuple(views.values()))


def waiting_warning(view: str, rows: int, rows_in_all: int) -> str:
    """A warning on rows without a value that would have one by its event time, and the mend."""
    return (
        f"feature view {view!r}: {rows:,} of {rows_in_all:,} rows have no value only because none was known yet: its "
        "event_timestamp is before the row's, its created_timestamp after it. If the table was backfilled, give its "
        "rows the created_timestamp at which they would have been known, or tag the view `known_by: event_timestamp`"
    )


def _mib(count: int) -> str:
    return f"{count / _MIB:,.1f} MiB"
