"""How old the watermark and the newest row of each view are."""

from __future__ import annotations

from skewless.online.materialization import view_freshness
from skewless.online.materialization.view_freshness import ViewFreshness
from tests.tables import histories
from tests.tables.histories import source
from tests.tables.view_project import HOUR, ViewProject, at, row


def fresh(project: ViewProject) -> ViewFreshness:
    views = [(project.view, source(project.data, project.view))]
    (found,) = view_freshness.run(views, project.state, "tests", at(5))
    return found


def test_a_view_that_was_never_materialized(project: ViewProject):
    found = fresh(project)
    assert (found.watermark_age, found.newest_age, found.last_run) == (None, None, "none")
    assert found.as_json()["watermark_age_s"] is None


def test_the_ages_of_watermark_and_newest_row(project: ViewProject):
    project.write(row("N1", 1, 1), row("N2", 3, 3))
    project.run(4)
    found = fresh(project)
    assert (found.watermark_age, found.newest_age, found.last_run) == (HOUR, 2 * HOUR, "done")
    assert found.as_json()["newest_age_s"] == 7200
    project.write(row("N3", 9, 9), row("N4", 9, 9))
    assert fresh(project).newest_age == 2 * HOUR, "rows of the future do not count"
    project.write(row("N5", 3.5, 3.5), row("N5", 9, 3.5))
    assert fresh(project).newest_age == 1.5 * HOUR, "nor beside rows that do, in one row group"
    histories.write(project.data, project.view, [row("N6", 3.75, 3.75), row("N6", 10**6, 3.75)], by_day=False)
    assert fresh(project).newest_age == 1.25 * HOUR


def test_what_failed_is_told(project: ViewProject):
    project.write(row("N1", 1, 1))
    project.run(4)
    run = project.state.run_started(
        "tests", "seen", "materialize", window_start=None, window_end=at(5), started_at=at(5)
    )
    project.state.run_failed(run, "StoreFull: no memory", finished_at=at(5))
    assert fresh(project).last_run == "failed: StoreFull: no memory"
