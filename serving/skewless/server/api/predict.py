"""`POST /v1/models/{name}/predict`: answered in front of FastAPI, which only documents it; ordinary requests below ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from time import perf_counter

import orjson
from fastapi import APIRouter
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skewless.contract.timestamps import rfc3339_text
from skewless.server.api.body import read_body
from skewless.server.api.hot_exchange import HotExchange, ResponseWriter
from skewless.server.api.hot_route import HotRoute, first_headers
from skewless.server.api.predict_openapi import OPENAPI, RESPONSES
from skewless.server.api.request_ids import HEADER, resolve_request_id
from skewless.server.errors import AsOfNotAllowed, StoreUnavailable, UnknownModel, UnreadableRows
from skewless.server.predict.micro_batcher import PredictAnswer
from skewless.server.predict.request import PredictRequest
from skewless.server.rollout.model_version import ServedVersion
from skewless.server.rollout.router import ModelRouter
from skewless.server.service import PredictService

_ROUTE = HotRoute("/v1/models/", "/predict")
_JSON = (b"content-type", b"application/json")
_UNKNOWN = _NO_LABEL = ""
_STORE_FAULTS = (StoreUnavailable, UnreadableRows)


class PredictExchange(HotExchange):
    """A prediction that is answered below ASGI: one that requests scores alone."""

    __slots__ = ("endpoint", "route", "served")

    def __init__(self, writer: ResponseWriter, endpoint: PredictEndpoint, route: ModelRouter, request_id: str) -> None:
        super().__init__(writer, request_id)
        self.endpoint, self.route, self.served = endpoint, route, route.champion

    def begin(self) -> bool:
        request = self.served.predictor.reader.read(self.body)
        if request.explain or request.as_of is not None:
            return False
        self.served = self.route.begin(self, self.request_id, request, self.started)
        return True

    def set_result(self, answer: PredictAnswer) -> None:
        self.writer.write(self, HTTPStatus.OK, answer_body(self.served, self.request_id, answer))

    def failure(self, error: BaseException) -> Response:
        return self.endpoint.failure(self.route.address, self.request_id, error, self.started)


class PredictEndpoint:
    """The route as plain ASGI, for requests that `matches` accepts."""

    def __init__(self, service: PredictService) -> None:
        self._service = service
        self._routes: Mapping[str, ModelRouter] = {}
        self._by_path: dict[bytes, ModelRouter] = {}

    matches = staticmethod(_ROUTE.matches)

    def target(self, path: bytes) -> ModelRouter | None:
        routes = self._service.models.routes
        if routes is not self._routes:  # a refresh replaces the mapping
            self._by_path = {_ROUTE.path(address).encode(): route for address, route in routes.items()}
            self._routes = routes
        return self._by_path.get(path)

    def exchange(self, writer: ResponseWriter, target: ModelRouter, request_id: str) -> PredictExchange:
        return PredictExchange(writer, self, target, request_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, service = perf_counter(), self._service
        headers, name = first_headers(scope), _ROUTE.name(scope["path"])
        scope["request_id"] = request_id = resolve_request_id(headers.get(HEADER, b""))
        try:
            route = service.models.route(name)
            request = route.champion.predictor.reader.read(
                await read_body(headers, receive, service.settings.max_body_bytes)
            )
            self._check(request)
            answer: asyncio.Future[PredictAnswer] = asyncio.get_running_loop().create_future()
            served = route.begin(answer, request_id, request, started)
            body = answer_body(served, request_id, await answer)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - an error that is not ours is answered by a bare 500, and logged
            await self.failure(name, request_id, error, started)(scope, receive, send)
            return
        length = (b"content-length", b"%d" % len(body))
        response_headers = [length, _JSON, (HEADER, request_id.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": response_headers})
        await send({"type": "http.response.body", "body": body})

    def _check(self, request: PredictRequest) -> None:
        if request.as_of is not None and not self._service.settings.allow_as_of:
            raise AsOfNotAllowed

    def failure(self, name: str, request_id: str, error: BaseException, started: float) -> Response:
        """The response to a request for this model that failed; it is counted."""
        metrics, response = self._service.metrics, _ROUTE.failure(name, request_id, error)
        if isinstance(error, _STORE_FAULTS):
            metrics.store_failures.inc()
        # A label for each name that callers invent would be unbounded.
        model = _UNKNOWN if isinstance(error, UnknownModel) else name.partition("@")[0]
        metrics.requests.labels(model, str(response.status_code)).inc()
        metrics.request_seconds.labels(model, _NO_LABEL, _NO_LABEL).observe(perf_counter() - started)
        return response


def routes() -> APIRouter:
    """The route in the OpenAPI document, and 405 for other methods."""
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
        raise UnknownModel(name)  # only a name with a slash comes here, and no model has one

    return router


def answer_body(served: ServedVersion, request_id: str, answer: PredictAnswer) -> bytes:
    """The response's JSON. A float32 score is written as a double, so that reading it back gives the same bits.

    Neither a request id nor a model's name has characters that JSON would escape.
    """
    scores = orjson.dumps(answer.scores)
    body = served.response_template % (request_id.encode(), rfc3339_text(answer.served_at).encode(), scores)
    if answer.versions is not None:
        body = b'%b,"versions":%b}' % (body[:-1], orjson.dumps(answer.versions))
    explained = served.explainer.explain(answer.full) if answer.full is not None else answer.explanation
    if explained is None:
        return body
    return b'%b,"%b":%b}' % (body[:-1], explained.member.encode(), orjson.dumps(explained.rows))
