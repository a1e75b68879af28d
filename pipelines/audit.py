"""The audit: served predictions replayed through the point-in-time join, compared bit for bit.

Every served row becomes a spine row at its `served_at`; the model input that the join gives for it must be the logged
one, and the logged input must score to the logged score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipelines.errors import NotTrained
from pipelines.folder import write_file
from pipelines.history import TIMESTAMP, join, request_values, spine_times
from pipelines.offline import Source, parquet_files
from pipelines.progress import Report, quiet
from pipelines.timeline import Timeline, timeline
from serving.contract.assembler import Admitted
from serving.contract.bundle import Bundle
from serving.contract.form import Array, cells, differing, from_columns
from serving.contract.freshness import Status
from serving.contract.plan import Plan, View
from serving.contract.row import Values

Cells = list[tuple[str, Array]]
_EXAMPLES = 5
"""Of each kind of difference and view."""


class Audited(msgspec.Struct, frozen=True):
    """What an audit of one model version found. `values` are the model inputs compared; counts of differing ones by
    column, of view statuses by view, and examples with the served and the joined value.

    `unread_views` are those that the server did not get to read, since the online store failed; they are replayed as
    unread, and `unread_values` are the model inputs that would have been others.
    """

    model: str
    version: str
    start: str
    end: str
    rows: int
    compared_views: int
    values: int
    differing_values: int
    differing_statuses: int
    differing_scores: int
    columns: dict[str, int]
    views: dict[str, int]
    examples: list[str]
    unread_views: int = 0
    unread_values: int = 0
    timeline: Timeline = Timeline()

    @property
    def clean(self) -> bool:
        """Whether everything served was the training value, or the default where the store had failed."""
        return not (self.differing_values or self.differing_statuses or self.differing_scores)

    def __str__(self) -> str:
        return (
            f"{self.model} {self.version}: {self.differing_values} of {self.values} feature values differ, "
            f"{self.differing_statuses} of {self.rows * self.compared_views} statuses differ, "
            f"{self.differing_scores} of {self.rows} scores differ{self._unread}"
        )

    @property
    def _unread(self) -> str:
        if not self.unread_views:
            return ""
        return (
            f"; {self.unread_views} views were not read because the online store failed, and {self.unread_values} "
            "feature values were defaults for it"
        )


@dataclass(frozen=True, slots=True)
class ServedLog:
    """The served log's folder."""

    folder: Path

    def rows(self, model: str) -> int:
        """How many rows of a model, of any version, are on disk."""
        return sum(pq.read_metadata(file).num_rows for file in parquet_files(self.folder / f"model={model}"))

    def read(self, model: str, version: str, start: datetime, end: datetime) -> pa.Table:
        """The rows that a model version served with start <= served_at < end. Raises: NotTrained where it has none."""
        place = self.folder / f"model={model}" / f"version={version}"
        files = [str(file) for file in parquet_files(place)]
        if not files:
            raise NotTrained(f"a served log of {model} {version}", "skewless serve")
        window = (pc.field("served_at") >= start) & (pc.field("served_at") < end)
        return ds.dataset(files, format="parquet", partitioning=None).to_table(filter=window)


def run(
    bundle: Bundle,
    sources: Mapping[str, Source],
    log: ServedLog,
    start: datetime,
    end: datetime,
    *,
    report: Report = quiet,
) -> Audited:
    """Replay what `bundle` served in [start, end) and compare. Raises: NotTrained, SourceMissing, SourceMismatch."""
    manifest, plan = bundle.manifest, bundle.plan
    served = log.read(manifest.name, manifest.version, start, end)
    spine = spine_of(plan, served)
    found = join(plan, sources, spine, report=report)
    views = {name: _as_read(one, served.column(f"{name}:status").to_numpy()) for name, one in found.items()}
    joined = _joined(bundle, views, given := request_values(plan, spine))
    unread = sum(int(np.count_nonzero(one.status == Status.NOT_READ)) for one in views.values())
    logged, scores, rescored = _logged(bundle, served)
    wrong = _differ(logged, joined)
    other = _wrong_statuses(plan, served, views)
    status_wrong = {view: int(np.count_nonzero(differing)) for view, differing in other.items()}
    other_score = _differ(scores, rescored).any(axis=1)
    any_wrong = np.logical_or.reduce([wrong.any(axis=1), other_score, *other.values()])
    return Audited(
        model=manifest.name,
        version=manifest.version,
        start=start.isoformat(),
        end=end.isoformat(),
        rows=len(served),
        compared_views=len(plan.views),
        values=int(wrong.size),
        differing_values=int(wrong.sum()),
        differing_statuses=sum(status_wrong.values()),
        differing_scores=int(np.count_nonzero(other_score)),
        columns={name: int(n) for (name, _), n in zip(logged, wrong.sum(axis=0), strict=True) if n},
        views={view: count for view, count in status_wrong.items() if count},
        examples=_examples(plan, served, logged, joined, views) + _score_examples(served, scores, rescored),
        unread_views=unread,
        unread_values=_unread_values(bundle, found, given, joined) if unread else 0,
        timeline=timeline(spine_times(spine), any_wrong),
    )


def _joined(bundle: Bundle, views: Mapping[str, Admitted], given: Mapping[str, Values]) -> Cells:
    """What the model would have been given, by column."""
    inputs = bundle.inputs(bundle.assembler.values(views, given))
    return cells(bundle.form.taken, bundle.form.taken_arrays(inputs))


def _logged(bundle: Bundle, served: pa.Table) -> tuple[Cells, Cells, Cells]:
    """The inputs and scores that were logged, and the scores of these inputs."""
    form = bundle.form
    taken = from_columns(form.taken, served)
    again = form.told_arrays(bundle.score(form.inputs_from(taken)))
    return cells(form.taken, taken), cells(form.told, from_columns(form.told, served)), cells(form.told, again)


def _wrong_statuses(plan: Plan, served: pa.Table, views: Mapping[str, Admitted]) -> dict[str, np.ndarray]:
    """Where the statuses of each view differ."""
    return {view.name: _statuses_differ(served, view, views[view.name]) for view in plan.views}


def _unread_values(bundle: Bundle, found: Mapping[str, Admitted], given: Mapping[str, Values], joined: Cells) -> int:
    """How many model inputs would have been others, had everything been read."""
    return int(np.count_nonzero(_differ(_joined(bundle, found, given), joined)))


def _as_read(joined: Admitted, statuses: np.ndarray) -> Admitted:
    """What the join gives, not read where the server did not read it."""
    return Admitted(joined.rows, np.where(statuses == Status.NOT_READ, np.uint8(Status.NOT_READ), joined.status))


def spine_of(plan: Plan, served: pa.Table) -> pa.Table:
    """The served rows as a spine: keys and request inputs under their own names, `served_at` as the time."""
    columns = {TIMESTAMP: served.column("served_at")}
    columns |= {key.name: served.column(f"entity:{key.name}") for key in plan.join_keys}
    columns |= {request.name: served.column(f"request:{request.name}") for request in plan.request}
    return pa.table(columns)


def _examples(plan: Plan, served: pa.Table, logged: Cells, joined: Cells, views: Mapping[str, Admitted]) -> list[str]:
    """Differing values and statuses, some of each."""
    told = []
    for row, column in np.argwhere(_differ(logged, joined))[:_EXAMPLES].tolist():
        (name, then), (_, now) = logged[column], joined[column]
        told.append(_example(served, row, name, repr(then[row]), f"the join gives {now[row]!r}"))
    for view in plan.views:
        statuses = served.column(f"{view.name}:status").to_numpy()
        for row in np.flatnonzero(_statuses_differ(served, view, views[view.name]))[:_EXAMPLES].tolist():
            then, now = (Status(status).name for status in (statuses[row], views[view.name].status[row]))
            told.append(_example(served, row, f"feature view {view.name}", then, f"the join gives {now}"))
    return told


def _score_examples(served: pa.Table, scores: Cells, rescored: Cells) -> list[str]:
    told = []
    for row, column in np.argwhere(_differ(scores, rescored))[:_EXAMPLES].tolist():
        (name, then), (_, now) = scores[column], rescored[column]
        told.append(_example(served, row, f"the {name}", repr(then[row]), f"the logged input scores {now[row]!r}"))
    return told


def _example(served: pa.Table, row: int, what: str, then: str, now: str) -> str:
    request, place, at = (served.column(name)[row] for name in ("request_id", "row", "served_at"))
    return f"request {request} row {place} at {at}: {what} was served as {then} and {now}"


def _differ(then: Cells, now: Cells) -> np.ndarray:
    """Where columns of the same names differ in a bit: rows x columns."""
    return np.stack([differing(mine, theirs) for (_, mine), (_, theirs) in zip(then, now, strict=True)], axis=1)


def _statuses_differ(served: pa.Table, view: View, joined: Admitted) -> np.ndarray:
    """Where another status was served than the join gives; of a row that may have been removed NOT_FOUND will do."""
    then, at = served.column(f"{view.name}:status").to_numpy(), served.column("served_at").cast(pa.int64()).to_numpy()
    removed = (then == Status.NOT_FOUND) & (joined.status == Status.STALE) & view.rule.removable(joined.rows.event, at)
    different: np.ndarray = (then != joined.status) & ~removed
    return different


def write_report(folder: Path, audited: Audited) -> Path:
    """The report as JSON, for machines; its path."""
    path = folder / f"audit-{audited.model}-{audited.version}.json"
    write_file(path, msgspec.json.format(msgspec.json.encode(audited)))
    return path
