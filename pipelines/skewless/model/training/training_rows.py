"""The rows of a training set's windows whose label was known by the window's end, as learners take them.

Held by tests/model/training/test_learned_model.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from skewless.contract.errors import SkewlessError
from skewless.contract.model.assembler import column_types
from skewless.contract.model.signature import tensor_column
from skewless.contract.plan import Plan
from skewless.contract.timestamps import aware
from skewless.contract.value_types import value_type
from skewless.model.conversion.trained_models import ColumnKind
from skewless.model.training.labels import known_labels
from skewless.model.training.training_set import TrainingSet
from skewless.project.learner import LabelledRows
from skewless.project.model import LabelColumn
from skewless.project.windows import TimeSplit
from skewless.runtime.errors import EmptyWindow, SpineMismatch

_WHOLE = ("Int32", "Int64")


@dataclass(eq=False)
class NoKnownLabels(SkewlessError):
    """A window has rows, but the label of none of them was known by its end."""

    label: str
    window: str
    start: datetime
    end: datetime
    rows: int
    unlabelled: int

    def __str__(self) -> str:
        later = self.rows - self.unlabelled
        return (
            f"the {self.window} window, {self.start.isoformat()} until {self.end.isoformat()}, has {self.rows:,} rows, and "
            f"{self.label!r} of none of them was known by then: {self.unlabelled:,} have no label, of {later:,} it became "
            "known later; choose longer or earlier windows"
        )


def window_rows(training_set: TrainingSet, label: LabelColumn, split: TimeSplit) -> dict[str, LabelledRows]:
    """The rows of the windows train, validate and test by name.

    Raises: EmptyWindow, NoKnownLabels, BadLabels, SpineMismatch where a window's labels are all the same.
    """
    return {name: _rows(training_set, label, name, *window) for name, window in split.windows.items()}


def column_kinds(plan: Plan) -> list[tuple[str, ColumnKind]]:
    """The columns of a plan in order, each with the kind in which a model with named inputs takes it: a whole number with a
    whole default as such, since a null is none; other numbers as float32.
    """
    types = column_types(plan)
    kinds: list[tuple[str, ColumnKind]] = []
    for column in plan.columns:
        dtype, default = types[column.source], column.default
        whole = dtype in _WHOLE and default is not None and default.is_integer()
        kinds.append((column.name, "string" if value_type(dtype).text else "int64" if whole else "float32"))
    return kinds


def input_frame(training_set: TrainingSet, rows: LabelledRows) -> pd.DataFrame:
    """The features of some rows, each a column as a server gives it to a model with named inputs."""
    values, plan = training_set.values(rows.table), training_set.plan
    return pd.DataFrame(
        {
            column.name: tensor_column(values[column.source], kind, column.default)
            for column, (_, kind) in zip(plan.columns, column_kinds(plan), strict=True)
        }
    )


def _rows(training_set: TrainingSet, label: LabelColumn, window: str, start: datetime, end: datetime) -> LabelledRows:
    table = training_set.between(start, end)
    if not len(table):
        times = pc.min_max(training_set.times()).as_py()
        first, last = (aware(at) if at is not None else None for at in (times["min"], times["max"]))
        raise EmptyWindow(f"the {window} window of training set {training_set.folder}", start, end, first, last)
    known, labels = known_labels(table, label, end)
    if not len(known):
        raise NoKnownLabels(label.name, window, start, end, len(table), table.column(label.name).null_count)
    if set(np.unique(labels)) != {0.0, 1.0}:
        where = f"the {len(labels):,} rows from {start.isoformat()} to {end.isoformat()} whose label was known by then"
        raise SpineMismatch(label.name, f"must be 0 in some and 1 in others of {where}")
    names = tuple(column.name for column in training_set.plan.columns)
    rows = LabelledRows(names, labels, known, partial(training_set.matrix, known), pd.DataFrame)
    return LabelledRows(names, labels, known, rows.to_numpy, partial(input_frame, training_set, rows))
