"""Entity frames in SQL through Feast's SDK: one SELECT over the project's tables, and nothing else of the machine."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from feast.errors import EntityTimestampInferenceException, RequestDataNotFoundInEntityDfException

from skewless.feast.errors import EntityQueryRefused
from skewless.runtime.errors import SpineMismatch
from tests.tables.scratch_project import DAY, HOUR, NOW, ScratchProject, times

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def tables(project: ScratchProject) -> None:
    """A source, known by the name `told`, and a table of labels that no feature view knows."""
    project.write(
        "told",
        tailnum=["N1", "N2", "N1"],
        fuel=pa.array([1, 2, 3], pa.float32()),
        gate=[1, 2, 2**53 + 1],
        event_timestamp=times(-DAY, -HOUR, -HOUR),
        created_timestamp=times(-DAY, -HOUR, -HOUR),
    )
    project.write(
        "late flights",
        tailnum=["N2", "N1", "?"],
        left_at=pa.array([NOW] * 3, pa.timestamp("ns", "UTC")),
        late=[True, False, True],
    )


def asked(project: ScratchProject, query: str, *features: str, **options) -> list[dict]:
    job = project.store().get_historical_features(query, list(features or ["told:fuel", "told:gate"]), **options)
    return job.to_arrow().to_pylist()


def test_a_query_is_a_frame(project):
    query = """
        WITH late AS (SELECT tailnum, left_at + INTERVAL 1 MINUTE AS asked_at, late FROM "late flights")
        SELECT * FROM late ORDER BY tailnum DESC
    """
    found = asked(project, query)
    assert [(row["tailnum"], row["late"], row["fuel"], row["gate"]) for row in found] == [
        ("N2", True, 2.0, 2),
        ("N1", False, 3.0, 2**53 + 1),
        ("?", True, None, None),
    ]
    assert {row["asked_at"] for row in found} == {NOW + pd.Timedelta(minutes=1)}


def test_the_answer_is_that_of_the_querys_rows(project):
    rows = pd.DataFrame({"tailnum": ["N1", "N2"], "event_timestamp": [NOW - 2 * HOUR, NOW]})
    stamp = f"TIMESTAMPTZ '{(NOW - 2 * HOUR).isoformat()}'"
    query = (
        f"SELECT * FROM (VALUES ('N1', {stamp}), ('N2', TIMESTAMPTZ '{NOW.isoformat()}')) v(tailnum, event_timestamp)"
    )
    store = project.store()
    one, other = (store.get_historical_features(frame, ["told:fuel"]) for frame in (rows, query))
    assert one.to_arrow()["fuel"].to_pylist() == other.to_arrow()["fuel"].to_pylist() == [1, 2]
    assert (one.metadata.keys, one.metadata.min_event_timestamp) == (other.metadata.keys, NOW - 2 * HOUR)
    assert list(other.to_df().columns) == ["tailnum", "event_timestamp", "fuel"]


def test_a_table_joins_a_source(project):
    query = 'SELECT DISTINCT tailnum, left_at FROM told JOIN "late flights" USING (tailnum) ORDER BY ALL'
    assert [row["tailnum"] for row in asked(project, query, "told:fuel")] == ["N1", "N2"]


@pytest.mark.parametrize(
    ("query", "error", "said"),
    [
        ("DROP TABLE told", EntityQueryRefused, "not one SELECT"),
        ("DELETE FROM told", EntityQueryRefused, "not one SELECT"),
        ("CREATE TABLE mine AS SELECT 1", EntityQueryRefused, "not one SELECT"),
        ("COPY (SELECT 1) TO '/tmp/out.csv'", EntityQueryRefused, "not one SELECT"),
        ("SELECT 1; SELECT 2", EntityQueryRefused, "not one SELECT"),
        ("SET threads = 1", EntityQueryRefused, "not one SELECT"),
        ("", EntityQueryRefused, "not one SELECT"),
        ("tell me", EntityQueryRefused, "syntax error"),
        ("SELECT * FROM nobody", EntityQueryRefused, "nobody does not exist(.|\n)*late flights, tell, told"),
        ("SELECT tail FROM told", EntityQueryRefused, "tail"),
        ("SELECT * FROM read_csv('/etc/passwd')", EntityQueryRefused, "disabled by configuration"),
        ("SELECT * FROM '/etc/passwd'", EntityQueryRefused, "does not exist"),
        ("SELECT * FROM project", EntityQueryRefused, "project does not exist"),
        ("SELECT tailnum FROM told", EntityTimestampInferenceException, "event_timestamp"),
        ("SELECT event_timestamp FROM told", SpineMismatch, "'tailnum' is absent"),
        ("SELECT tailnum, '2024-01-01' AS event_timestamp FROM told", SpineMismatch, "must be a timestamp"),
        ("SELECT tailnum, DATE '2024-01-01' AS event_timestamp FROM told", SpineMismatch, "is date32"),
        ("SELECT tailnum, gate, event_timestamp FROM told", SpineMismatch, "name of a feature"),
    ],
)
def test_what_is_no_frame_is_refused(project, query, error, said):
    with pytest.raises(error, match=said):
        asked(project, query)


def test_what_on_demand_views_need_is_named(project):
    with pytest.raises(RequestDataNotFoundInEntityDfException, match="hour"):
        asked(project, 'SELECT tailnum, left_at FROM "late flights"', "rush:swell")
