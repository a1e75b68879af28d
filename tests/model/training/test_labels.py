"""Labels: 0 and 1, null where unknown, and none that was not known yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.model.training import train, training_set
from skewless.model.training.labels import BadLabels, known_labels, labelled
from skewless.model.training.training_set import TrainingSet
from skewless.project.model import LabelColumn
from skewless.runtime.errors import SpineMismatch
from tests.models import learnable_project
from tests.oracles import labels_known_by

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
UTC_US = pa.timestamp("us", "UTC")
TIMES = st.datetimes(datetime(2023, 12, 1), datetime(2024, 2, 1), timezones=st.just(UTC))
ROWS = st.lists(st.tuples(TIMES, st.sampled_from([0, 1, None]), st.none() | TIMES), max_size=12)


@given(ROWS, TIMES, st.timedeltas(timedelta(0), timedelta(days=40)), st.sampled_from(["us", "ns", "s"]))
def test_a_row_whose_label_is_not_known_yet_takes_no_part(rows, by, after, unit):
    columns = {
        "event_timestamp": pa.array([row[0] for row in rows], UTC_US),
        "late": pa.array([row[1] for row in rows], pa.int8()),
        "known_at": pa.array([row[2] for row in rows], UTC_US).cast(pa.timestamp(unit, "UTC"), safe=False),
        "id": pa.array(range(len(rows)), pa.int64()),
    }
    table = pa.table(columns)
    for label, known in (
        (LabelColumn("late", after), [row[0] + after for row in rows]),
        (LabelColumn("late", known_at="known_at"), table.column("known_at").cast(UTC_US).to_pylist()),
    ):
        found, labels = known_labels(table, label, by)
        expected = labels_known_by([row[1] for row in rows], known, by)
        assert list(zip(found.column("id").to_pylist(), labels.tolist(), strict=True)) == expected


def test_no_label_of_the_future_is_trained_on(tmp_path):
    """Labels that are known four days after their rows: those of each window's last days change nothing."""
    learnable_project.write_tables(tmp_path / "data")
    split, spine = learnable_project.SPLIT, learnable_project.spine()
    times = spine.column("event_timestamp").to_pylist()
    late = timedelta(days=4)
    unknown = np.array(
        [any(end - late < time < end for end in (split.validate, split.test, split.end)) for time in times]
    )
    place = spine.schema.get_field_index(learnable_project.LABEL)
    flipped = pc.if_else(pa.array(unknown), pc.invert(spine.column(place)), spine.column(place))
    reports = {}
    for name, column in (("as it is", spine.column(place)), ("flipped", flipped)):
        training_set.run(
            learnable_project.definitions(tmp_path / "data"),
            spine.set_column(place, learnable_project.LABEL, column),
            tmp_path / name,
        )
        opened = TrainingSet(tmp_path / name)
        label = LabelColumn(learnable_project.LABEL, late)
        reports[name] = train.run(opened, label, split, learnable_project.learner(20))
    one, other = (tmp_path / name / train.MODEL for name in reports)
    assert one.read_bytes() == other.read_bytes()
    assert reports["as it is"].metrics == reports["flipped"].metrics
    everything = train.run(opened, learnable_project.LABEL_COLUMN, split, learnable_project.learner(20))
    assert everything.rows > reports["flipped"].rows


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([True, None, False]), [1.0, 0.0]),
        (pa.array([1.0, float("nan"), 0.0]), [1.0, 0.0]),
        (pa.array([1, None, 0], pa.int8()), [1.0, 0.0]),
    ],
)
def test_booleans_and_numbers_are_labels_and_rows_without_one_are_left_out(values: pa.Array, expected: list[float]):
    table, labels = labelled(pa.table({"late": values, "id": [1, 2, 3]}), "late")
    assert (table.column("id").to_pylist(), labels.tolist()) == ([1, 3], expected)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            pa.array(["yes", "no", "no"]),
            "the label 'late' is string and holds 'no' in 2 rows, 'yes' in 1 rows; a label is 0 or 1 (or a boolean): map ",
        ),
        (pa.array([1, 2, 2]), "the label 'late' is int64 and holds 2 in 2 rows, 1 in 1 rows; a label is 0 or 1"),
        (pa.array([0.5, 0.0, 1.0]), "the label 'late' is double and holds 0.0 in 1 rows, 0.5 in 1 rows"),
        (pa.array([[1], [0], [1]]), "the label 'late' is list<item: int64> and holds [1] in 2 rows"),
    ],
)
def test_other_values_are_refused_with_what_is_there(values: pa.Array, reason: str):
    with pytest.raises(BadLabels) as refused:
        labelled(pa.table({"late": values}), "late")
    assert str(refused.value).startswith(reason)


def test_the_mend_is_written_out():
    with pytest.raises(BadLabels, match=r"as `frame\['late'\]\.map\(\{'no': 0, 'yes': 1\}\)`$"):
        labelled(pa.table({"late": ["yes", "no", "no"]}), "late")
    with pytest.raises(BadLabels, match=r"map\(\{'no': 0, 'yes': 1\}\)`$"):
        labelled(pa.table({"late": ["yes", "yes", "no"]}), "late")
    with pytest.raises(BadLabels, match=r"map\(\{0: 0, 2: 1\}\)`$"):
        labelled(pa.table({"late": [2, 2, 0]}), "late")


def test_a_column_that_is_not_there_or_no_time_is_refused():
    table = pa.table({"late": [1], "event_timestamp": pa.array([NOON], UTC_US), "when": ["noon"]})
    with pytest.raises(SpineMismatch, match=r"'later' is absent; the spine has \['late'"):
        labelled(table, "later")
    with pytest.raises(SpineMismatch, match="'known' is absent, when the label is known; the spine has"):
        known_labels(table, LabelColumn("late", known_at="known"), NOON)
    with pytest.raises(SpineMismatch, match="'when' is string; when a label is known must be a timestamp"):
        known_labels(table, LabelColumn("late", known_at="when"), NOON)
