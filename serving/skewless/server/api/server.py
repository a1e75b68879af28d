"""The server's processes: uvicorn, one or several workers on one listening socket."""

from __future__ import annotations

import shlex
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import structlog
import typer
import uvicorn
from uvicorn._types import ASGIApplication
from uvicorn.supervisors import Multiprocess

from skewless.contract.errors import BadSetting, SkewlessError, UnsupportedPlatform
from skewless.contract.json_values import Json
from skewless.contract.model.bundle import PLAN
from skewless.contract.plan_validation import plan_from_json
from skewless.registry.model_registry import ModelRegistry
from skewless.server import logs
from skewless.server.api.hot_protocol import HotProtocol
from skewless.server.predict.request import sample_row
from skewless.server.settings import ServerSettings
from skewless.settings.process_environment import PREFIX, share_metrics

_log = structlog.get_logger(__name__)
_BACKLOG = 2048
_GRACE_S = 30
_HUNG_S = 30
"""How long a worker may not answer its supervisor before it is killed with its requests: on a machine without free cores a
worker that loads models may be silent for more than uvicorn's 5 seconds.
"""


def run(settings: ServerSettings) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are finished and the served log is written.

    Raises:
        BadSetting: the address cannot be listened on.
        UnsupportedPlatform: the online store is a unix socket, and the system has none.
    """
    if settings.redis_url.startswith("unix:") and not hasattr(socket, "AF_UNIX"):
        mend = f"set {PREFIX}REDIS_URL to the address of a Redis or Valkey server, as redis://127.0.0.1:6379"
        raise UnsupportedPlatform("reading the online store from the embedded Redis", "unix sockets", mend)
    logs.configure(settings.log_level)
    config = uvicorn_config("skewless.server.app:from_environment", factory=True, workers=settings.workers)
    with _listening(settings.host, settings.port) as listener:
        _announce(settings, _url(settings.host, listener), greeting=sys.stdout.isatty())
        server = uvicorn.Server(config)
        if settings.workers == 1:
            server.run(sockets=[listener])
            return
        with tempfile.TemporaryDirectory(prefix="skewless-metrics-") as folder:
            share_metrics(Path(folder))
            Multiprocess(config, sockets=[listener]).run()


def uvicorn_config(app: ASGIApplication | str, *, factory: bool = False, workers: int = 1) -> uvicorn.Config:
    """The configuration of uvicorn: our protocol for plain predictions and pushes, our logs, no access log."""
    return uvicorn.Config(
        app,
        factory=factory,
        http=HotProtocol,
        ws="none",
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        # A wrapper around the application would hide its hot routes.
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
        timeout_worker_healthcheck=_HUNG_S,
    )


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise BadSetting(f"{PREFIX}HOST or {PREFIX}PORT", f"{host}:{port} cannot be used ({cause})") from error
    with listener:
        listener.set_inheritable(True)
        yield listener


def _url(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _announce(settings: ServerSettings, url: str, *, greeting: bool) -> None:
    """Log the address, and that no model is published; as a `greeting` print both, and a curl command for each model."""
    _log.info("listening", url=url, models=str(settings.models))
    if greeting:
        typer.echo(f"Skewless serves {settings.models} at {url} (what it understands: {url}/docs); Ctrl-C stops it.")
    try:
        rows = list(_rows(ModelRegistry(settings.models, settings.folders.models_mirror)))
    except (SkewlessError, OSError):
        return  # /readyz reports the error
    if not rows:
        mend = (
            f"run `skewless publish` in the project's folder, or set {PREFIX}MODELS; it is taken up without a restart"
        )
        _log.warning("no model is published", models=str(settings.models), mend=mend)
        if greeting:
            typer.echo(f"  No model is published there: {mend}.")
    for name, row in rows if greeting else ():
        body = shlex.quote(orjson.dumps({"rows": [row], "explain": "features"}).decode())
        typer.echo(f"  curl -s {url}/v1/models/{name}/predict -H 'Content-Type: application/json' -d {body}")


def _rows(registry: ModelRegistry) -> Iterator[tuple[str, dict[str, Json]]]:
    """The models, with an example row for each."""
    for name in registry.models():
        rollout = registry.rollout(name)
        if rollout is not None:
            plan = registry.bundle(name, rollout.champion) / PLAN
            yield name, sample_row(plan_from_json(plan.read_bytes(), name=name))
