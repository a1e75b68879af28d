"""The servers that are compared, each one process that answers, and the proof that each answers right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from skewless.contract.model.matrix_scorer import MatrixScorer
from skewless.contract.model.transforms import reference
from skewless.online.store.valkey_process import free_port
from skewless.runtime.predict_server import server
from tests.bench.online.workload import MODEL, USED, drawn, features_body, predict_body
from tests.checkout import ROOT

OURS, STACK, FEAST, FASTAPI, ASGI = "skewless", "assembled", "feast_serve", "empty_fastapi", "empty_asgi"
WORKING, FLOORS = (OURS, STACK, FEAST), (FASTAPI, ASGI)
JSON = {"Content-Type": "application/json"}
_COLUMNS = tuple(reference(source) for source in USED)
_START_SECONDS = 90.0
_UVICORN = ("--workers", "1", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")


@dataclass(frozen=True, slots=True)
class Contender:
    """A running server: where it is asked, and with which bodies."""

    name: str
    url: str
    path: str
    bodies: str


@dataclass(frozen=True, slots=True)
class Setup:
    """What the servers stand on: folders, and the two online stores."""

    folder: Path
    models: Path
    onnx: Path
    feast: Path
    ours_url: str


@contextmanager
def ours(setup: Setup) -> Iterator[Contender]:
    """`skewless serve` with everything on that is on by default: checks, statuses, served log, metrics."""
    settings = {
        "SKEWLESS_STATE": str(setup.folder / "state"),
        "SKEWLESS_MODELS": str(setup.models),
        "SKEWLESS_REDIS_URL": setup.ours_url,
    }
    with server(settings, free_port(), setup.folder / f"{OURS}.log") as running:
        yield Contender(OURS, running.url, f"/v1/models/{MODEL}/predict", "predict")


@contextmanager
def stack(setup: Setup) -> Iterator[Contender]:
    given = {
        "BENCH_FEAST": str(setup.feast),
        "BENCH_MODEL": str(setup.onnx),
        "BENCH_COLUMNS": ",".join(_COLUMNS),
    }
    with _uvicorn(setup, STACK, "tests.bench.online.stack:app", given) as url:
        yield Contender(STACK, url, "/predict", "predict")


@contextmanager
def feast_serve(setup: Setup) -> Iterator[Contender]:
    """Feast's feature server, which gives features and no scores. By default it restarts every 1,000 requests: off."""
    port = free_port()
    command = [str(Path(sys.executable).parent / "feast"), "--chdir", str(setup.feast), "serve", "--port", str(port)]
    with _process(setup, FEAST, [*command, "--no-access-log", "--max-requests", "0"], {}, port, "/health") as url:
        yield Contender(FEAST, url, "/get-online-features", "features")


@contextmanager
def empty_fastapi(setup: Setup) -> Iterator[Contender]:
    with _uvicorn(setup, FASTAPI, "tests.bench.online.floors:fastapi", {}) as url:
        yield Contender(FASTAPI, url, "/predict", "predict")


@contextmanager
def empty_asgi(setup: Setup) -> Iterator[Contender]:
    with _uvicorn(setup, ASGI, "tests.bench.online.floors:bare", {}) as url:
        yield Contender(ASGI, url, "/predict", "predict")


ALL = (ours, stack, feast_serve, empty_fastapi, empty_asgi)


def sample(entities: int) -> list[list[int]]:
    """Requests whose answers are checked."""
    return [*drawn(1, entities, 50), *drawn(100, entities, 2)]


def wrong_scores(
    contender: Contender, offline: NDArray[np.float32], scorer: MatrixScorer, requests: Sequence[Sequence[int]]
) -> dict[str, float]:
    """How many rows were asked, how many of their scores are not the offline score's bits, and the greatest gap.

    `offline` holds the score of each entity; `scorer` scores features that come without one.
    """
    right = offline[[entity for request in requests for entity in request]]
    with httpx.Client(base_url=contender.url, headers=JSON, timeout=30) as client:
        given = np.concatenate([_scores(contender, client, scorer, request) for request in requests])
    wrong = int((given.view(np.uint32) != right.view(np.uint32)).sum())
    return {"rows": len(right), "wrong": wrong, "greatest_gap": float(np.abs(given.astype(float) - right).max())}


def _scores(
    contender: Contender, client: httpx.Client, scorer: MatrixScorer, entities: Sequence[int]
) -> NDArray[np.float32]:
    body = (predict_body if contender.bodies == "predict" else features_body)(entities)
    told = client.post(contender.path, content=body).raise_for_status().json()
    return np.array(told["scores"], np.float32) if contender.bodies == "predict" else scorer.score(_features(told))


def _features(told: Mapping[str, Any]) -> NDArray[np.float32]:
    named = dict(zip(told["metadata"]["feature_names"], told["results"], strict=True))
    return np.ascontiguousarray(np.array([named[name]["values"] for name in _COLUMNS], np.float32).T)


@contextmanager
def _uvicorn(setup: Setup, name: str, app: str, given: Mapping[str, str]) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *_UVICORN]
    with _process(setup, name, command, given, port, "/readyz") as url:
        yield url


@contextmanager
def _process(
    setup: Setup, name: str, command: Sequence[str], given: Mapping[str, str], port: int, health: str
) -> Iterator[str]:
    """A server process of one group for the length of a block, which begins when it answers."""
    log, url = setup.folder / f"{name}.log", f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **given}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _await(process, url + health, log)
        yield url
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    last = time.monotonic() + _START_SECONDS
    while time.monotonic() < last and process.poll() is None:
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer:\n{log.read_text(errors='replace')[-2_000:]}")
