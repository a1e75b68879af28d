"""What a process adopts, and what its children get to see of its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from skewless.runtime.settings import ProjectSettings
from skewless.settings.process_environment import adopt, child_environment, environment_with, share_metrics


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set here first, so that whatever a test changes is undone."""
    for name in ("SKEWLESS_STATE", "SKEWLESS_PORT", "SKEWLESS_METRICS_FOLDER", "PROMETHEUS_MULTIPROC_DIR", "OTHER"):
        monkeypatch.setenv(name, "1")


def test_an_adopted_value_is_read_from_then_on(tmp_path: Path):
    adopt("state", str(tmp_path))
    assert ProjectSettings.read().state == tmp_path


def test_a_child_for_our_work_gets_all_of_it():
    given = environment_with({"SKEWLESS_PORT": "2"})
    assert (given["SKEWLESS_STATE"], given["SKEWLESS_PORT"], given["OTHER"]) == ("1", "2", "1")


def test_another_child_gets_the_places_and_no_other_setting():
    given = child_environment({"SKEWLESS_HOST": "h"})
    ours = {name: value for name, value in given.items() if name.startswith("SKEWLESS_")}
    assert (ours["SKEWLESS_STATE"], ours["SKEWLESS_HOST"], given["OTHER"]) == ("1", "h", "1")
    assert set(ours) <= {"SKEWLESS_STATE", "SKEWLESS_FEATURE_REPO", "SKEWLESS_HOST"}


def test_processes_share_their_counters_in_a_folder_or_keep_their_own(tmp_path: Path):
    share_metrics(tmp_path)
    given = environment_with({})
    assert (given["SKEWLESS_METRICS_FOLDER"], given["PROMETHEUS_MULTIPROC_DIR"]) == (str(tmp_path), str(tmp_path))
    share_metrics(None)
    assert not {"SKEWLESS_METRICS_FOLDER", "PROMETHEUS_MULTIPROC_DIR"} & set(environment_with({}))
