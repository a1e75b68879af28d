"""Predictions come from a prediction server, and what is served is proven by the audit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd
import polars as pl
import psutil
import pytest

from skewless.contract.errors import SkewlessError
from skewless.online.store.connection import RedisUnreachable
from skewless.runtime.errors import StepInputMissing
from skewless.sdk import Project
from skewless.sdk.arguments import BadArgument
from skewless.sdk.predictions import MOST_ROWS, ModelNotServable, PredictionDenied, PredictServerUnreachable
from tests.services.processes import living

ROW = {"customer_id": 7, "request_unix": 1_772_323_200}


def test_what_is_predicted_is_what_training_sees(project: Project):
    one = project.predict(ROW, explain="features")
    assert 0 < one.scores[0] < 1
    assert one.features is not None
    assert one.features[0]["orders__total"]["status"] in {"PRESENT", "STALE"}
    many = project.predict([ROW] * (MOST_ROWS + 5))
    assert (len(many.request_ids), set(many.scores)) == (2, set(one.scores))
    project.close()  # the server ends, and its log is on disk
    report = project.audit()
    assert report.result.rows >= MOST_ROWS + 6
    assert report.clean, str(report)
    assert "Not skewed" in report._repr_html_()
    assert report.page.is_file()
    assert project.drift().result.rows == report.result.rows


def test_a_frame_may_have_more_columns_than_the_model_takes(project: Project):
    frame = pd.DataFrame([ROW, ROW | {"customer_id": 8}]).assign(buys_again=True)
    served = project.predict(frame)
    assert served.scores == project.predict(pl.from_pandas(frame)).scores
    answer = served.to_pandas()
    assert answer.score.astype("float64").tolist() == served.scores
    assert answer[["request_id", "row"]].to_numpy().tolist() == [[served.request_ids[0], 0], [served.request_ids[0], 1]]
    assert "2 scores at" in str(served)
    added = project.outcomes(answer.assign(label=[0, 1])[["request_id", "row", "label"]])
    assert (added.new, added.changed) == (2, 0)


def test_a_server_is_asked_where_it_is(project: Project):
    url = project.serve()
    assert url == project.serve()
    assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
    with Project.open(project.folder, progress=False) as other:
        assert other.predict(ROW, url=url).scores == project.predict(ROW).scores
    with pytest.raises(PredictionDenied, match="as_of") as denied:
        project.predict(ROW, as_of="2026-01-01")
    assert denied.value.status == 403
    assert not (project.settings.folders.root / "no-such").exists()


def test_a_changed_rollout_counts_at_once(project: Project):
    assert project.predict(ROW).version == project.models.show("buys_again").current.champion
    project.models.retire("buys_again", reason="a trial")
    with pytest.raises(PredictionDenied, match="a trial") as denied:
        project.predict(ROW)
    assert denied.value.status == 410
    project.models.restore("buys_again", reason="it was one")
    assert 0 < project.predict(ROW).scores[0] < 1


def test_a_server_that_was_ended_is_started_again(project: Project):
    before = project.predict(ROW)
    url = project.serve()
    project.close()
    with pytest.raises(PredictServerUnreachable):
        project.predict(ROW, url=url)
    assert project.predict(ROW).scores == before.scores


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ({"customer_id": 7}, "/rows/0/request_unix: is missing"),
        (ROW | {"age": 3}, "/rows/0/age: is unknown"),
        (ROW | {"customer_id": "seven"}, "/rows/0/customer_id"),
    ],
)
def test_rows_that_do_not_fit_are_pointed_at(project: Project, rows: dict[str, object], text: str):
    with pytest.raises(PredictionDenied, match=text) as denied:
        project.predict(rows)
    assert denied.value.status == 422


def test_rows_that_are_none_are_refused(project: Project):
    for rows in ([], pd.DataFrame([ROW]).head(0)):
        with pytest.raises(BadArgument, match="rows= has no row"):
            project.predict(rows)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nowhere", "http://", "http://[::"])
def test_a_server_that_does_not_answer_is_named(project: Project, url: str):
    with pytest.raises(
        PredictServerUnreachable, match=r"no prediction server answers at .*start one with `skewless serve`"
    ):
        project.predict(ROW, url=url)


def test_a_model_that_is_not_published_is_said_before_a_server_starts(project: Project):
    with pytest.raises(StepInputMissing, match="a published version of returns"):
        project.predict(ROW, model="returns")


def test_a_store_that_lacks_the_views_is_said_before_a_server_starts(
    project: Project, redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    elsewhere = Project.open(project.folder, progress=False)
    with elsewhere, pytest.raises(ModelNotServable, match="skewless materialize"):
        elsewhere.predict(ROW)


def test_a_store_that_is_away_is_an_error_with_the_mend(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SKEWLESS_REDIS_URL", f"unix://{tmp_path}/none.sock")
    with Project.open(project.folder, progress=False) as away:
        for verb in (lambda: away.predict(ROW), away.materialize, away.housekeeping.verify):
            with pytest.raises(SkewlessError) as error:
                verb()
            assert isinstance(error.value, RedisUnreachable | ModelNotServable)
            assert "none.sock" in str(error.value)
        assert "not to be used" in str(away.status())


_NOTEBOOK = """
import sys
from skewless.sdk import Project
project = Project.open(sys.argv[1], progress=False)
print(project.serve(), project._servers._own.process.pid, flush=True)
sys.stdin.read()
"""


def test_a_server_does_not_outlive_a_notebook_that_is_killed(project: Project):
    command = [sys.executable, "-c", _NOTEBOOK, str(project.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as notebook:
        assert notebook.stdout is not None
        url, pid = notebook.stdout.readline().split()
        assert httpx.get(f"{url}/healthz").status_code == 200
        server = psutil.Process(int(pid))
        notebook.kill()
    assert not living([server], 30)
    with pytest.raises(PredictServerUnreachable):
        project.predict(ROW, url=url)
