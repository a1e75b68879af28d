"""Training sets, and models trained on them.

Held by tests/sdk/test_model_verbs.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.html.table import PageTable
from skewless.sdk.arguments import Instant
from skewless.sdk.model_rows import GivenWindows, Spine, spine_place, spine_window, split_of
from skewless.sdk.results import RowsResult, ShownResult

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.definitions.compiler import CompiledService
    from skewless.model.training.train import TrainingRun
    from skewless.offline.join.explain import JoinPlan
    from skewless.offline.join.spine import SpineFiles
    from skewless.project.learner import ParameterValue
    from skewless.sdk.session import ProjectSession


@dataclass(frozen=True, slots=True)
class TrainingSetRequest:
    """Which spine to join to which feature service, over which window; None: as the model declares."""

    spine: Spine | None = None
    model: str | None = None
    service: str | None = None
    start: Instant | None = None
    end: Instant | None = None
    as_served: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class BuiltTrainingSet(RowsResult):
    """A training set: the spine's columns, then features and transform outputs under their full names, in order of time.

    `rows` and `columns` count them; `warnings` say which views' values came too late for some rows. It lies in `folder`, a
    Parquet dataset that the next training set of its model replaces; None where it was not kept.
    """

    rows: int
    columns: int
    folder: Path | None
    warnings: list[str] = field(default_factory=list)
    _table: pa.Table | None = None

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        place = f" in {self.folder}" if self.folder else ""
        return [f"{self.rows:,} rows, {self.columns} columns{place}", *(f"warning: {one}" for one in self.warnings)]

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table. Raises: StepInputMissing where the folder is gone."""
        if self.folder is None:
            return self._table
        import pyarrow.parquet as pq

        from skewless.model.training.training_set import DATA, TrainingSet

        return pq.read_table(TrainingSet(self.folder).folder / DATA)


@dataclass(frozen=True, slots=True, repr=False)
class JoinExplanation(ShownResult):
    """What a join would read and hold in memory: `plan` has the numbers."""

    plan: JoinPlan

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        return str(self.plan).splitlines()


@dataclass(frozen=True, slots=True, repr=False)
class FittedModel(ShownResult):
    """A model that was trained on the training set in `folder`; `publish` makes a version of it. `run` is its report."""

    run: TrainingRun
    folder: Path

    @property
    def metrics(self) -> dict[str, float]:
        """AUC and logloss on the test window, the number of its rows, and the logloss of the best constant."""
        return self.run.metrics

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        return [str(self.run)]

    def tables(self) -> list[PageTable]:
        """The metrics."""
        cells = tuple((name.replace("_", " "), f"{value:,.4g}") for name, value in self.metrics.items())
        return [PageTable("", "", ("on the test window", ""), cells)]


@dataclass(frozen=True, slots=True)
class _SpineJoin:
    """The spine's rows, the definitions to join them to, and where the training set of the model lies."""

    definitions: CompiledService
    rows: SpineFiles
    folder: Path
    memory: int


@contextmanager
def _joined(session: ProjectSession, request: TrainingSetRequest) -> Iterator[_SpineJoin]:
    from skewless.offline.join.spine import SpineFiles, declared_types

    with session.opened() as work:
        declared = session.declared(request.model, request.service)
        service = request.service or declared.spec(session.spelled("service")).service
        with spine_place(session, work, declared, request.spine) as place:
            window = spine_window(session, declared, "start", request.spine, (request.start, request.end))
            definitions = work.service(service)
            rows = SpineFiles(place, *window, declared_types(definitions.plan, declared.known_at))
            folder = work.folders.training / declared.training_set(service)
            yield _SpineJoin(definitions, rows, folder, work.settings.join_memory)


def build(session: ProjectSession, request: TrainingSetRequest, *, keep: bool = True) -> BuiltTrainingSet:
    """Join a spine to a feature service. Raises: as `spine_place`, `window_of`, and the join."""
    from skewless.offline.join.refresh_schedule import RefreshSchedule

    schedule = RefreshSchedule.parse(request.as_served) if request.as_served else None
    with _joined(session, request) as spine, _target(spine.folder, keep=keep) as folder:
        from skewless.model.training import training_set as verb

        with session.step("training-set") as progress:
            options = {"as_served": schedule, "report": progress.at, "memory": spine.memory}
            written = verb.run(spine.definitions, spine.rows, folder, **options)  # type: ignore[arg-type]
            result = BuiltTrainingSet(written.rows, written.columns, folder, written.warnings())
            if not keep:
                result = replace(result, folder=None, _table=result.to_arrow())
            progress.result = result.lines()[0]
        return result


@contextmanager
def _target(folder: Path, *, keep: bool) -> Iterator[Path]:
    """The folder to write to; one for the length of the block where the training set is not kept."""
    if keep:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="skewless-") as scratch:
        yield Path(scratch) / folder.name


def explain(session: ProjectSession, request: TrainingSetRequest) -> JoinExplanation:
    """What `build` would read and hold in memory. Raises: as `build`."""
    with _joined(session, request) as spine:
        from skewless.model.training import training_set as verb

        return JoinExplanation(verb.explain(spine.definitions, spine.rows, memory=spine.memory))


def train(
    session: ProjectSession,
    model: str | None,
    service: str | None,
    label: str | None,
    windows: GivenWindows,
    parameters: Mapping[str, ParameterValue],
) -> FittedModel:
    """Train on a training set that was built. Raises: StepInputMissing, BadLearner, EmptyWindow, and as `split_of`."""
    declared = session.declared(model, service)
    split = split_of(session, declared, windows)
    column = declared.label(label, session.spelled("label"))
    service = service or declared.spec(session.spelled("service")).service
    folder = session.settings.folders.training / declared.training_set(service)
    with session.step("train") as progress:
        from skewless.model.training import train as verb
        from skewless.model.training.training_set import TrainingSet

        done = verb.run(TrainingSet(folder), column, split, declared.learner, parameters)
        progress.result = str(done)
    return FittedModel(done, folder)
