"""How old the watermark and the newest row of each view are."""

from __future__ import annotations

from skewless.online.materialization import view_freshness
from skewless.online.materialization.view_freshness import ViewFreshness
from tests.tables.view_project import HOUR, ViewProject, at, row


def fresh(project: ViewProject) -> ViewFreshness:
    (found,) = view_freshness.run([project.view.stored_as], project.state, "tests", at(5))
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


def test_rows_that_no_run_brought_online_do_not_count(project: ViewProject):
    project.write(row("N1", 1, 1))
    project.run(2)
    project.write(row("N2", 3.5, 3.5), row("N3", 9, 3.5))
    assert fresh(project).newest_age == 4 * HOUR, "no run read them yet"
    project.run(4)
    assert fresh(project).newest_age == 1.5 * HOUR, "a row of the future waits, beside a row that does not"


def test_older_rows_and_runs_without_rows_leave_the_newest_event(project: ViewProject):
    project.write(row("N1", 3, 3))
    project.run(4)
    project.write(row("N2", 1, 4.5))
    project.run(5)
    project.run(6)
    assert fresh(project).newest_age == 2 * HOUR


def test_a_gap_moves_the_newest_event_and_not_the_watermark(project: ViewProject):
    project.write(row("N1", 1, 1), row("N2", 4, 4))
    project.run(2)
    project.run(5, start=at(3))
    assert (fresh(project).watermark_age, fresh(project).newest_age) == (3 * HOUR, HOUR)


def test_an_emptied_store_is_as_fresh_as_the_rows_that_fill_it_again(project: ViewProject):
    project.write(row("N1", 1, 1), row("N2", 3, 3))
    project.run(4)
    project.redis.flushdb()
    project.run(2)
    assert (fresh(project).watermark_age, fresh(project).newest_age) == (3 * HOUR, 4 * HOUR)
    project.redis.flushdb()
    project.run(0.5)
    assert (fresh(project).watermark_age, fresh(project).newest_age) == (4.5 * HOUR, None)


def test_what_failed_is_told(project: ViewProject):
    project.write(row("N1", 1, 1))
    project.run(4)
    run = project.state.run_started(
        "tests", "seen", "materialize", window_start=None, window_end=at(5), started_at=at(5)
    )
    project.state.run_failed(run, "StoreFull: no memory", finished_at=at(5))
    assert fresh(project).last_run == "failed: StoreFull: no memory"
