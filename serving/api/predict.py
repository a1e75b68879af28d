"""`POST /v1/models/{name}/predict`: the hot route. It reads and writes its bytes itself."""

from __future__ import annotations

from http import HTTPStatus
from time import perf_counter

import numpy as np
import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from serving.api import problems
from serving.api.body import read_body
from serving.api.predict_schema import OPENAPI, RESPONSES
from serving.contract.errors import CorruptRow, SkewlessError, UnknownSchema
from serving.contract.freshness import Status
from serving.errors import AsOfNotAllowed, StoreUnavailable, UnknownModel
from serving.models import Champion
from serving.predictor import Prediction, answer
from serving.rfc3339 import instant_text
from serving.served_log import Entry
from serving.service import Service

_JSON = "application/json"
_UNKNOWN = ""
_STATUS_NAMES = tuple((int(status), status.name) for status in Status)
_STORE_FAULTS = (StoreUnavailable, CorruptRow, UnknownSchema)


def routes(service: Service) -> APIRouter:
    """The route, bound to a service."""
    router = APIRouter(tags=["predict"])

    @router.post(
        "/v1/models/{name}/predict",
        operation_id="predict",
        summary="Scores for 1 to 1,000 rows",
        openapi_extra=OPENAPI,
        responses=RESPONSES,
        response_class=Response,
    )
    async def predict(request: Request, name: str) -> Response:
        started = perf_counter()
        model, status = name, HTTPStatus.INTERNAL_SERVER_ERROR.value
        try:
            response = Response(await _predicted(service, request, name), media_type=_JSON)
            status = response.status_code
        except SkewlessError as error:
            response = problems.response(request, error)
            status = response.status_code
            # A label for each name that a caller makes up would never end.
            model = _UNKNOWN if isinstance(error, UnknownModel) else name
            if isinstance(error, _STORE_FAULTS):
                service.metrics.store_failures.inc()
        finally:
            service.metrics.requests.labels(model, str(status)).inc()
            service.metrics.request_seconds.labels(model).observe(perf_counter() - started)
        return response

    return router


async def _predicted(service: Service, request: Request, name: str) -> bytes:
    champion = service.models.champion(name)
    ask = champion.predictor.reader.read(await read_body(request, service.settings.max_body_bytes))
    if ask.as_of is not None and not service.settings.allow_as_of:
        raise AsOfNotAllowed
    request_id = request.scope["request_id"]
    prediction = await answer(champion.predictor, service.store, service.clock, request_id, ask)
    _record(service, champion, prediction)
    return _body(champion, prediction, explain=ask.explain)


def _record(service: Service, champion: Champion, prediction: Prediction) -> None:
    predictor, served = champion.predictor, prediction.served
    service.served_log.offer(Entry(predictor.name, predictor.version, predictor.plan, served))
    service.metrics.rows.labels(predictor.name, predictor.version).inc(len(served.scores))
    for view, admitted in served.views.items():
        counts = np.bincount(admitted.status, minlength=len(_STATUS_NAMES)).tolist()
        for code, status in _STATUS_NAMES:
            if counts[code]:
                service.metrics.statuses.labels(predictor.name, view, status).inc(counts[code])


def _body(champion: Champion, prediction: Prediction, *, explain: bool) -> bytes:
    """The answer. A float32 score is written as the double that it is, so that reading it back gives the same bits."""
    served = prediction.served
    body: dict[str, object] = {
        "request_id": served.request_id,
        "model": champion.predictor.name,
        "version": champion.predictor.version,
        "served_at": instant_text(served.served_at),
        "scores": served.scores.tolist(),
    }
    if explain:
        body["features"] = champion.explanation.rows(prediction)
    return orjson.dumps(body)
