"""`POST /v1/models/{name}/predict`: the hot route, answered in front of FastAPI, which only documents it."""

from __future__ import annotations

from time import perf_counter

import orjson
import structlog
from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.api import problems
from serving.api.body import read_body
from serving.api.predict_schema import OPENAPI, RESPONSES
from serving.api.request_ids import HEADER, request_id
from serving.contract.errors import CorruptRow, SkewlessError, UnknownSchema
from serving.contract.rfc3339 import instant_text
from serving.errors import AsOfNotAllowed, StoreUnavailable, UnknownModel
from serving.models import Champion
from serving.predictor import Answer, answer
from serving.service import Service

_BEFORE, _AFTER = "/v1/models/", "/predict"
_JSON = (b"content-type", b"application/json")
_UNKNOWN = ""
_STORE_FAULTS = (StoreUnavailable, CorruptRow, UnknownSchema)
_log = structlog.get_logger(__name__)


class PredictEndpoint:
    """The route as plain ASGI: `matches` says whether a request is its own, and then it answers."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @staticmethod
    def matches(scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] != "POST":
            return False
        path: str = scope["path"]
        return path.endswith(_AFTER) and path.startswith(_BEFORE) and path.count("/") == 4

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        headers: dict[bytes, bytes] = {}
        for key, value in scope["headers"]:
            headers.setdefault(key, value)
        name = scope["path"][len(_BEFORE) : -len(_AFTER)]
        scope["request_id"] = asked_by = request_id(headers.get(HEADER, b""))
        try:
            champion = self._service.models.champion(name)
            found = await self._answer(champion, headers, receive, asked_by)
            body = _body(champion, found)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - what nobody foresaw is told as a bare 500, and logged
            await self._failed(scope, receive, send, name, error, started)
            return
        champion.tally.answered(found.used, perf_counter() - started)
        length = (b"content-length", b"%d" % len(body))
        told = [length, _JSON, (HEADER, asked_by.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": told})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, champion: Champion, headers: dict[bytes, bytes], receive: Receive, asked_by: str) -> Answer:
        service, predictor = self._service, champion.predictor
        ask = predictor.reader.read(await read_body(headers, receive, service.settings.max_body_bytes))
        if ask.as_of is not None and not service.settings.allow_as_of:
            raise AsOfNotAllowed
        found = await answer(predictor, service.store, service.clock, asked_by, ask, defaults=champion.defaults)
        if found.unread:
            service.metrics.store_failures.inc()
        service.served_log.offer((predictor.logged, found.used))
        return found

    async def _failed(
        self, scope: Scope, receive: Receive, send: Send, name: str, error: Exception, started: float
    ) -> None:
        metrics, request = self._service.metrics, Request(scope)
        if isinstance(error, SkewlessError):
            response = problems.response(request, error)
        else:
            _log.error("request_failed", path=scope["path"], request_id=scope["request_id"], exc_info=error)
            response = problems.fault(request)
        if isinstance(error, _STORE_FAULTS):
            metrics.store_failures.inc()
        # A label for each name that a caller makes up would never end.
        model = _UNKNOWN if isinstance(error, UnknownModel) else name
        metrics.requests.labels(model, str(response.status_code)).inc()
        metrics.request_seconds.labels(model).observe(perf_counter() - started)
        response.raw_headers.append((HEADER, scope["request_id"].encode()))
        await response(scope, receive, send)


def routes() -> APIRouter:
    """What the document says of the route, and 405 for other methods."""
    router = APIRouter(tags=["predict"])

    @router.post(
        "/v1/models/{name}/predict",
        operation_id="predict",
        summary="Scores for 1 to 1,000 rows",
        openapi_extra=OPENAPI,
        responses=RESPONSES,
        response_class=Response,
    )
    async def predict(name: str) -> Response:
        raise UnknownModel(name)  # only a name with a slash in it comes here: those of models have none

    return router


def _body(champion: Champion, found: Answer) -> bytes:
    """The answer. A float32 score is written as the double that it is, so that reading it back gives the same bits."""
    used = found.used
    body: dict[str, object] = {
        "request_id": used.request_id,
        "model": champion.predictor.name,
        "version": champion.predictor.version,
        "served_at": instant_text(used.served_at),
        "scores": used.scores.tolist(),
    }
    if found.full is not None:
        body["features"] = champion.explanation.rows(found.full)
    return orjson.dumps(body)
