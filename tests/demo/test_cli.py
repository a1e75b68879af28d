"""The verbs of the example: there with the extra that they need, and named by it where it is missing."""

from __future__ import annotations

import importlib
from importlib import util

import pytest
from typer.testing import CliRunner

from skewless.demo import cli


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
