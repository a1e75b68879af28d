"""Feast's validation references: a profile of a saved dataset, held against what is retrieved and what was logged.

Feast's only profiler of its own needs a release of Great Expectations that no longer installs beside pandas 2; any
other subclass of its `Profiler` works.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pytest
from feast.dqm.errors import ValidationFailed
from feast.dqm.profilers.profiler import Profile, Profiler, ValidationError, ValidationReport
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

from tests.tables.scratch_project import HOUR, NOW, ScratchProject, times

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


class Report(ValidationReport):
    def __init__(self, errors: list[ValidationError]) -> None:
        self._errors = errors

    @property
    def is_success(self) -> bool:
        return not self._errors

    @property
    def errors(self) -> list[ValidationError]:
        return self._errors


@dataclass
class Range(Profile):
    """The least and greatest fuel of a dataset."""

    low: float
    high: float

    def validate(self, dataset: pd.DataFrame) -> Report:
        outside = dataset["fuel"].dropna().map(lambda value: not self.low <= value <= self.high).sum()
        return Report([ValidationError("range", "fuel")] if outside else [])

    def to_proto(self):
        raise NotImplementedError

    @classmethod
    def from_proto(cls, proto):
        raise NotImplementedError


class Ranger(Profiler):
    def analyze_dataset(self, dataset: pd.DataFrame) -> Range:
        return Range(dataset["fuel"].min(), dataset["fuel"].max())

    def to_proto(self):
        raise NotImplementedError

    @classmethod
    def from_proto(cls, proto):
        raise NotImplementedError


def write(project: ScratchProject, part: str, fuel: list[float], offset) -> None:
    project.write(
        "told",
        part,
        tailnum=["N1", "N2"],
        fuel=pa.array(fuel, pa.float32()),
        gate=[1, 2],
        event_timestamp=times(offset, offset),
        created_timestamp=times(offset, offset),
    )


def test_a_retrieval_is_held_against_a_saved_dataset(project):
    write(project, "part-0", [1, 2], -3 * HOUR)
    store = project.store()
    then = pd.DataFrame({"tailnum": ["N1", "N2", "?"], "event_timestamp": NOW - 2 * HOUR})
    job = store.get_historical_features(then, ["told:fuel"])
    saved = store.create_saved_dataset(job, "reference", SavedDatasetFileStorage("saved/reference"))
    reference = saved.as_reference("as it was", Ranger())
    assert len(job.to_df(validation_reference=reference)) == 3
    assert job.to_arrow(validation_reference=reference).num_rows == 3

    write(project, "part-1", [1, 20], -HOUR)
    later = store.get_historical_features(then.assign(event_timestamp=NOW), ["told:fuel"])
    for ask in (later.to_df, later.to_arrow):
        with pytest.raises(ValidationFailed) as failed:
            ask(validation_reference=reference)
        assert [(error.check_name, error.column_name) for error in failed.value.report.errors] == [("range", "fuel")]
