"""`/healthz`: the process is up. `/readyz`: it can answer requests. `/metrics`: metrics for Prometheus."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from skewless.server.errors import StoreUnavailable
from skewless.server.metrics.counters import CONTENT_TYPE
from skewless.server.service import PredictService


class HealthReport(BaseModel):
    """The process lives."""

    status: str = "ok"


class PartStatus(BaseModel):
    """Whether one part can do its work, and why not. `refused`: why the rollout is not in force as it stands."""

    ready: bool
    reason: str | None = None
    version: str | None = None
    refused: str | None = None


class ReadinessReport(BaseModel):
    """Ready where the store answers and every model that is not retired does. A server without any model is not ready."""

    ready: bool
    reason: str | None
    store: PartStatus
    models: dict[str, PartStatus]


def routes(service: PredictService) -> APIRouter:
    """The routes, bound to a service."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", summary="Whether the process lives")
    async def healthz() -> HealthReport:
        return HealthReport()

    @router.get(
        "/readyz",
        summary="Whether requests can be answered, and why not",
        responses={503: {"model": ReadinessReport, "description": "Not ready; `reason` says why."}},
    )
    async def readyz(response: Response) -> ReadinessReport:
        report = await _readiness(service)
        if not report.ready:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return report

    @router.get("/metrics", response_class=Response, summary="Metrics in the text format of Prometheus")
    def metrics() -> Response:
        return Response(service.metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    return router


async def _readiness(service: PredictService) -> ReadinessReport:
    store = PartStatus(ready=True)
    try:
        await service.store.ping()
    except StoreUnavailable as error:
        store = PartStatus(ready=False, reason=str(error))
    models = {
        name: PartStatus(ready=slot.reason is None, reason=slot.reason, version=slot.version, refused=slot.refused)
        for name, slot in service.models.states.items()
        if slot.retired is None
    }
    reasons = [store.reason] if store.reason else []
    reasons += [f"model {name!r}: {part.reason}" for name, part in models.items() if part.reason]
    if not service.models.states:
        no_models = f"{service.settings.models} holds no champion; run `skewless publish`"
        reasons.append(service.models.unreadable or no_models)
    return ReadinessReport(ready=not reasons, reason="; ".join(reasons) or None, store=store, models=models)
