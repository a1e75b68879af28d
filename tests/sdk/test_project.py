"""A project is found from its folder, and has every verb of the command line."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer

from skewless.cli import app
from skewless.contract.errors import InvalidRows
from skewless.erasure.subject import SubjectMissing
from skewless.runtime.errors import UnknownFeatureView
from skewless.sdk import Project
from skewless.sdk.arguments import BadArgument
from skewless.sdk.housekeeping import HousekeepingVerbs
from skewless.sdk.rollouts import ModelRollouts
from skewless.sdk.session import ProjectNotFound
from skewless.sdk.store_verbs import OnlineStoreVerbs
from tests.docs.reference.cli import verbs

NEW_ROW = {
    "customer_id": 9, "orders_so_far": 4, "total": 10.0, "mean_total": 7.5, "mean_gap_days": None,
    "last_event_unix": 1_772_323_200, "event_timestamp": "2026-02-27T00:00:00Z",
}  # fmt: skip
HOMES = {"": Project, "models": ModelRollouts, "store": OnlineStoreVerbs, "housekeeping": HousekeepingVerbs}
NAMED_OTHERWISE = {"audit what-if": "what_if", "models list": "models.list"}
ELSEWHERE = {
    "up": "store", "down": "store", "runs": "store", "stream": "store",
    "verify": "housekeeping", "expire": "housekeeping", "sweep": "housekeeping", "compact": "housekeeping",
    "trim": "housekeeping",
}  # fmt: skip
PARAMETERS = {
    "at_once": "now", "as_json": None, "columns": "columns", "kind": "format", "file": "rows", "output": "outputs",
    "onnx": "onnx", "most": "max_score_difference", "erase entity": "keys", "explain": None, "materialize_every": "every",
    "parameter": "parameters", "column": "columns", "context": None, "init from_feast": None, "status": None, "name": "folder",
}  # fmt: skip
"""Options whose argument has another name; None: a method of its own, or what only a command line has."""


def method(verb: str) -> object:
    """The method of a verb; KeyError or AttributeError where there is none."""
    home, _, name = NAMED_OTHERWISE.get(verb, verb.replace(" ", ".").replace("-", "_")).rpartition(".")
    return getattr(HOMES[ELSEWHERE.get(verb, home)], name)


@pytest.mark.parametrize(
    ("verb", "command"),
    list(verbs(typer.main.get_command(app))),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_verb_is_a_method_with_all_its_options(verb: str, command):
    signature = inspect.signature(method(verb))
    if verb == "status":
        return
    known = set(signature.parameters)
    given = {option.name for option in command.params} - {"help"}
    names = {PARAMETERS.get(f"{verb} {name}", PARAMETERS.get(name, name)) for name in given} - {None}
    assert names <= known, f"Project has no {names - known} for `skewless {verb}`"


def test_a_project_is_found_from_any_of_its_folders(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    root = project.folder.parent
    assert Project.open(root / "feature_repo").folder == Project.open(str(root)).folder == project.folder
    assert repr(project) == f"Project({str(root / 'feature_repo')!r})"
    monkeypatch.chdir(root / "tests")
    assert Project.open().folder == project.folder
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(project.folder))
    assert Project.open().settings.state == root / ".skewless"


@pytest.mark.parametrize("folder", [None, ".", "nowhere/at/all"])
def test_a_folder_that_is_no_project_is_refused_with_the_mend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str | None
):
    monkeypatch.delenv("SKEWLESS_FEATURE_REPO", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProjectNotFound, match=r"no feature_repo/feature_store.yaml in .*skewless init NAME"):
        Project.open(folder)


def test_a_base_install_says_which_extra_is_missing():
    program = "import sys; sys.modules['feast'] = None; from skewless.sdk import Project"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "skewless.sdk needs feast: pip install 'skewless[pipelines]'" in done.stderr


def test_importing_the_api_loads_nothing_heavy():
    program = "import sys; from skewless.sdk import Project; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {
        "feast",
        "pandas",
        "pyarrow",
        "duckdb",
        "sqlalchemy",
        "httpx",
        "lightgbm",
        "onnxruntime",
        "jinja2",
        "numpy",
    }
    assert not heavy & set(done.stdout.split())


def test_a_project_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    made = Project.init("corner", progress=False)
    assert made.folder == tmp_path / "corner" / "feature_repo"
    assert made.status().views == []
    with pytest.raises(BadArgument, match="label= names a part of the events; give events= too"):
        Project.init("other", label="returned")
    assert not (tmp_path / "other").exists()


def test_building_again_changes_nothing(project: Project, capsys: pytest.CaptureFixture[str]):
    project.build()
    built = project.build()
    assert built.filled.written[0].files_written == built.materialized.written == 0
    assert [version.created for version in built.versions] == [False]
    assert capsys.readouterr().out == "", "without progress a program's output is its own"


def test_progress_is_plain_lines_where_nobody_watches(project: Project, capsys: pytest.CaptureFixture[str]):
    watched = Project.open(project.folder)
    watched.training_set()
    line = capsys.readouterr().out
    assert line.startswith("training-set   ")
    assert "\x1b" not in line


def test_a_row_is_pushed_from_dicts_and_frames(project: Project):
    assert project.push("orders", NEW_ROW).rows == 1
    frame = pd.DataFrame([NEW_ROW]).assign(event_timestamp=pd.Timestamp.now("UTC"))
    pushed = project.push("orders", frame)
    assert (pushed.rows, pushed.won, pushed.refusal) == (1, 1, None)
    assert (
        project.predict({"customer_id": 9, "request_unix": 1_772_323_200}, explain="features").features[0][
            "orders__total"
        ]["value"]
        == 10.0
    )
    with pytest.raises(InvalidRows, match="/0/total: is missing"):
        project.push("orders", {name: value for name, value in NEW_ROW.items() if name != "total"})
    with pytest.raises(UnknownFeatureView, match="did you mean 'orders'"):
        project.push("order", NEW_ROW)
    with pytest.raises(BadArgument, match=r"rows= there is no file nowhere\.csv"):
        project.push("orders", "nowhere.csv")
    with pytest.raises(BadArgument, match="format= is not said by the file's suffix"):
        project.push("orders", project.folder / "models.py")
    assert project.housekeeping.verify().clean
    assert "nothing was left" in project.housekeeping.sweep()._repr_html_()
    assert project.housekeeping.expire().rows.keys() == {"orders"}
    (folded,) = project.housekeeping.compact(keep="0s").results.values()
    assert folded.rows == 2


def test_the_state_of_a_project_is_shown(project: Project):
    status = project.status()
    assert [view.view for view in status.views] == ["orders"]
    assert str(project.folder) in str(status)
    assert "orders" in status._repr_html_()
    assert "done" in str(project.store.runs())
    assert project.store.runs(limit=1).runs[0].view == "orders"
    assert project.quality().clean
    assert project.materialize(dry_run=True).planned[0].startswith("orders")
    assert project.what_if(["1h"]).result.fresh.rows > 100


def test_a_rollout_is_changed(project: Project):
    with pytest.raises(BadArgument, match="version= names one version, and every=True all"):
        project.models.delete("buys_again")
    champion = project.models.show("buys_again").current.champion
    retired = project.models.retire("buys_again", reason="a trial")
    assert retired.rollout.retired == "a trial"
    restored = project.models.restore("buys_again", reason="it was one", by="ann")
    assert restored.roles[champion] == "champion"
    assert restored.warnings == []
    assert "ann: restore" in str(project.models.show("buys_again"))


def test_a_subject_is_found_before_it_is_erased(project: Project):
    found = project.erase({"customer_id": 11}, dry_run=True)
    assert "online store: 1 entities" in found.lines()
    with pytest.raises(SubjectMissing):
        project.erase({})
    with pytest.raises(SubjectMissing, match="the join key is Int64, and 'abc' is none"):
        project.erase({"customer_id": "abc"})
    returns = "the next ingest of tables orders, customer_weeks brings the subject back"
    assert returns in found.lines()[-1]
    erased = project.erase({"customer_id": 11}, settle="0s")
    assert returns in erased.lines()[-1]
    assert erased.receipt is not None
    assert erased.receipt.online_entities == 1
    assert "orders" in erased._repr_html_()
    assert project.erase({"customer_id": 11}, dry_run=True).lines() == ["nothing is about this subject"]
