"""What each verb imports. How long that takes is `make bench-startup`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.startup.project import StartupProject
from tests.bench.startup.verbs import HEAVY, NOTHING, PUSH, VERBS, StartupVerb

# `apply` and `materialize` are processes of their own, and the first imports Feast twice.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def project(redis_server, tmp_path_factory: pytest.TempPathFactory) -> StartupProject:
    return StartupProject.make(tmp_path_factory.mktemp("startup") / "shop", redis_server.url)


@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_a_verb_imports_no_more_than_it_uses(project: StartupProject, verb: StartupVerb):
    imported = project.imported(*verb.words, given=verb.given)
    assert imported & HEAVY <= verb.allowed
    assert "typer" in imported, "what a verb imports is read at its end"


def test_a_run_that_writes_rows_needs_feast_no_more_than_one_that_does_not(project: StartupProject):
    project.run(*PUSH.words, given=PUSH.given)
    imported = project.imported("materialize", "--full")
    assert "feast" not in imported
    assert imported & HEAVY > NOTHING.allowed & {"redis"}


def test_definitions_that_were_applied_by_feast_are_compiled_once(project: StartupProject):
    definitions = project.folder / "feature_repo" / "shop.py"
    definitions.write_text(definitions.read_text().replace("timedelta(days=30)", "timedelta(days=31)"))
    project.run("apply")
    assert "feast" not in project.imported("status")
    (project.folder / ".skewless" / "compiled-views.json").unlink()
    assert "feast" in project.imported("status")
    assert "feast" not in project.imported("status")


def test_processor_time_is_that_of_the_verb(project: StartupProject):
    assert 0.01 < project.seconds("--help") < 30


def test_every_bar_of_the_issue_is_held():
    bars = {str(verb): verb.bar for verb in VERBS if verb.bar is not None}
    assert bars == {"--help": 0.5, "status": 0.5, "materialize": 3.0}
    assert Path(__file__).with_name("startup").is_dir()
