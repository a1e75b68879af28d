"""A changed transform counts from its `apply` on, and then everywhere: in the SDK, in training sets and on the server,
from the project's folder, from another project's and from an unrelated one.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest

from skewless.online.store.embedded_valkey import RunningValkey
from tests.feast.apply.timed_project import LAST, NOW, TimedProject
from tests.services.serve_process import served

HOUR, MINUTE, DAY = 3600, 60, 86_400
ROW = {"plate": 7, "clock": int(NOW.timestamp())}


def since(unit: int) -> np.float32:
    return np.float32(np.sqrt((int(NOW.timestamp()) - LAST) / unit))


@pytest.fixture
def folders(tmp_path: Path, redis_url: str) -> dict[str, Path]:
    """Where somebody may stand. Each has a `transforms.py` to fall into."""
    other = TimedProject.make(tmp_path / "other", redis_url, DAY)
    other.skewless("apply")
    unrelated = tmp_path / "unrelated"
    (unrelated / "feature_repo").mkdir(parents=True)
    for folder in (unrelated, unrelated / "feature_repo", other.folder):
        (folder / "transforms.py").write_text("def idle(*, clock, last):\n    raise RuntimeError('somebody else')\n")
    return {"other": other.folder, "unrelated": unrelated}


def predicted(client: httpx.Client) -> np.float32:
    """The feature as the server used it."""
    answer = client.post("/v1/models/standing/predict", json={"rows": [ROW], "explain": "features"})
    assert answer.status_code == 200, answer.text
    (features,) = answer.json()["features"]
    return np.float32(features["idle__since"]["value"])


@pytest.mark.timeout(900)
def test_what_was_applied_counts_in_every_folder(tmp_path: Path, folders: dict[str, Path], redis_server: RunningValkey):
    project = TimedProject.make(tmp_path / "mine", redis_server.url, HOUR)
    places = folders | {"mine": project.folder}
    project.skewless("apply")
    project.skewless("materialize")
    before, after = [float(since(HOUR))], [float(since(MINUTE))]
    project.edit(MINUTE)  # an edit that is not applied changes nothing
    assert project.notebook(project.folder) == (before, before)
    project.skewless("apply")
    project.edit(DAY)
    for name, cwd in places.items():
        assert project.notebook(cwd) == (after, after), name
    for name in ("mine", "other"):
        assert project.train(places[name]) == since(MINUTE), name
    project.skewless(
        "publish", "--service", "still", "--model", "standing", "--onnx", str(project.folder / "model.onnx")
    )
    with served(project.state, redis_server.url) as (_, client):
        assert predicted(client) == since(MINUTE)
