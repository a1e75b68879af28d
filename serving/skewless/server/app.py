"""The server as an ASGI application.

Held by tests/server/api/test_server.py.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from skewless.contract.timestamps import Clock, UtcMicros, nanos_to_micros
from skewless.registry.cpu_features import processor_features
from skewless.registry.model_registry import ModelRegistry
from skewless.server import logs
from skewless.server.api import health, models, predict, problems, push
from skewless.server.api.connections import ConnectionLimits, Connections
from skewless.server.api.message_semantics import as_resource
from skewless.server.api.predict import PredictEndpoint
from skewless.server.api.push import PushEndpoint
from skewless.server.api.request_ids import RequestIdMiddleware
from skewless.server.metrics.counters import ServerMetrics
from skewless.server.online_store.reader import OnlineStoreReader
from skewless.server.online_store.writer import OnlineStoreWriter
from skewless.server.push.receiver import PushReceiver
from skewless.server.rollout.dependencies import VersionDependencies
from skewless.server.rollout.live_models import LiveModels
from skewless.server.served_log import ServedLogWriter
from skewless.server.service import PredictService
from skewless.server.settings import ServerSettings

_COLLECT_AFTER = 50_000
_SWITCH_S = 0.0005


def now() -> UtcMicros:
    """Microseconds since 1970-01-01 UTC, by the system's clock."""
    return nanos_to_micros(time.time_ns())


class ServerApp(FastAPI):
    """FastAPI with the hot routes in front of it. `longest_body`: the limit of a hot request's body, in bytes."""

    def __init__(self, service: PredictService, **options: Any) -> None:  # noqa: ANN401 - FastAPI's own
        super().__init__(**options)
        self.hot = (PredictEndpoint(service), PushEndpoint(service))
        self.longest_body = service.settings.max_body_bytes
        self.connections = Connections(ConnectionLimits.of(service.settings), service.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope, receive, send = as_resource(scope, receive, send)
        for endpoint in self.hot:
            if endpoint.matches(scope):
                await endpoint(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def create_app(settings: ServerSettings, clock: Clock = now) -> FastAPI:
    """The application; it opens its store, models and log when it starts. Raises: StoreUnavailable for a wrong URL."""
    service = _service(settings, clock)
    app = ServerApp(
        service,
        title="Skewless",
        summary="Predictions from features that are provably the training values.",
        version=version("skewless"),
        lifespan=_lifespan(service),
        redirect_slashes=False,
    )
    problems.install(app)
    app.add_middleware(RequestIdMiddleware)
    app.include_router(predict.routes())
    app.include_router(push.routes())
    for routes in (models.routes, health.routes):
        app.include_router(routes(service))
    return app


def from_environment() -> FastAPI:
    """The application of a uvicorn worker, from the environment."""
    settings = ServerSettings.read()
    logs.configure(settings.log_level)
    return create_app(settings)


def _service(settings: ServerSettings, clock: Clock) -> PredictService:
    metrics = ServerMetrics(settings.metrics_folder)
    store = OnlineStoreReader(settings.redis_url, timeout_s=settings.redis_timeout_s)
    served_log = ServedLogWriter(
        settings.served_log,
        metrics,
        capacity=settings.served_log_rows,
        flush_s=settings.served_log_flush_s,
        share=settings.served_log_share,
    )
    threads = max(1, (os.cpu_count() or 1) // settings.workers)
    parts = VersionDependencies(store, clock, metrics, served_log, processor_features(), threads)
    return PredictService(
        settings=settings,
        metrics=metrics,
        store=store,
        models=LiveModels(ModelRegistry(settings.models, settings.folders.models_mirror), parts),
        served_log=served_log,
        pusher=_pusher(settings, store, metrics, clock),
    )


def _pusher(
    settings: ServerSettings, store: OnlineStoreReader, metrics: ServerMetrics, clock: Clock
) -> PushReceiver | None:
    project = settings.push_project
    if project is None:
        return None
    writer = OnlineStoreWriter(settings.redis_url, project, timeout_s=settings.push_timeout_s)
    return PushReceiver(
        project, settings.folders.data, store, writer, metrics, clock, refresh_s=settings.models_refresh_s
    )


def _lifespan(service: PredictService) -> Callable[[ServerApp], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: ServerApp) -> AsyncIterator[None]:
        await service.models.refresh()
        service.served_log.start()
        background = [
            asyncio.create_task(service.models.keep_fresh(service.settings.models_refresh_s)),
            asyncio.create_task(app.connections.keep_moving()),
        ]
        # Everything allocated so far stays: the collector need not walk it in the middle of a request.
        gc.collect()
        gc.freeze()
        # Entries that wait to be logged would trigger it all the time, and it could free nothing of them.
        gc.set_threshold(_COLLECT_AFTER, 20, 50)
        # Else a request may wait up to 5 ms until the thread that writes the served log releases the GIL.
        sys.setswitchinterval(_SWITCH_S)
        try:
            yield
        finally:
            for task in background:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await asyncio.to_thread(service.served_log.close)
            if service.pusher is not None:
                await service.pusher.close()
            await service.store.close()

    return lifespan
