"""`POST /v1/models/{name}/predict`: answered in front of FastAPI, which only documents it; where it is usual, below ASGI."""

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
from skewless.server.api.request_ids import HEADER, request_id
from skewless.server.errors import AsOfNotAllowed, StoreUnavailable, UnknownModel, UnreadableRows
from skewless.server.predict.micro_batcher import PredictAnswer
from skewless.server.predict.request import PredictRequest
from skewless.server.rollout.model_version import ServedVersion
from skewless.server.rollout.router import ModelRouter
from skewless.server.service import PredictService

_ROUTE = HotRoute("/v1/models/", "/predict")
_JSON = (b"content-type", b"application/json")
_UNKNOWN = _NOBODY = ""
_STORE_FAULTS = (StoreUnavailable, UnreadableRows)


class PredictExchange(HotExchange):
    """A prediction that is answered below ASGI: one that asks for scores alone."""

    __slots__ = ("endpoint", "route", "who")

    def __init__(self, speaker: ResponseWriter, endpoint: PredictEndpoint, route: ModelRouter, asked_by: str) -> None:
        super().__init__(speaker, asked_by)
        self.endpoint, self.route, self.who = endpoint, route, route.champion

    def begin(self) -> bool:
        ask = self.who.predictor.reader.read(self.body)
        if ask.explain or ask.as_of is not None:
            return False
        self.who = self.route.begin(self, self.request_id, ask, self.started)
        return True

    def set_result(self, answer: PredictAnswer) -> None:
        self.speaker.tell(self, HTTPStatus.OK, answer_body(self.who, self.request_id, answer))

    def failure(self, error: BaseException) -> Response:
        return self.endpoint.failure(self.route.address, self.request_id, error, self.started)


class PredictEndpoint:
    """The route as plain ASGI: `matches` says whether a request is its own, and then it answers."""

    def __init__(self, service: PredictService) -> None:
        self._service = service
        self._seen: Mapping[str, ModelRouter] = {}
        self._at: dict[bytes, ModelRouter] = {}

    matches = staticmethod(_ROUTE.matches)

    def at(self, path: bytes) -> ModelRouter | None:
        routes = self._service.models.routes
        if routes is not self._seen:  # a refresh makes them anew
            self._at = {_ROUTE.path(address).encode(): route for address, route in routes.items()}
            self._seen = routes
        return self._at.get(path)

    def exchange(self, speaker: ResponseWriter, who: ModelRouter, request_id: str) -> PredictExchange:
        return PredictExchange(speaker, self, who, request_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, service = perf_counter(), self._service
        headers, name = first_headers(scope), _ROUTE.name(scope["path"])
        scope["request_id"] = asked_by = request_id(headers.get(HEADER, b""))
        try:
            route = service.models.route(name)
            ask = route.champion.predictor.reader.read(
                await read_body(headers, receive, service.settings.max_body_bytes)
            )
            self._check(ask)
            answer: asyncio.Future[PredictAnswer] = asyncio.get_running_loop().create_future()
            who = route.begin(answer, asked_by, ask, started)
            body = answer_body(who, asked_by, await answer)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - what nobody foresaw is told as a bare 500, and logged
            await self.failure(name, asked_by, error, started)(scope, receive, send)
            return
        length = (b"content-length", b"%d" % len(body))
        told = [length, _JSON, (HEADER, asked_by.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": told})
        await send({"type": "http.response.body", "body": body})

    def _check(self, ask: PredictRequest) -> None:
        if ask.as_of is not None and not self._service.settings.allow_as_of:
            raise AsOfNotAllowed

    def failure(self, name: str, asked_by: str, error: BaseException, started: float) -> Response:
        """What to answer, which is counted, where a request for this model failed."""
        metrics, response = self._service.metrics, _ROUTE.failure(name, asked_by, error)
        if isinstance(error, _STORE_FAULTS):
            metrics.store_failures.inc()
        # A label for each name that a caller makes up would never end.
        model = _UNKNOWN if isinstance(error, UnknownModel) else name.partition("@")[0]
        metrics.requests.labels(model, str(response.status_code)).inc()
        metrics.request_seconds.labels(model, _NOBODY, _NOBODY).observe(perf_counter() - started)
        return response


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


def answer_body(who: ServedVersion, request_id: str, found: PredictAnswer) -> bytes:
    """The answer. A float32 score is written as the double that it is, so that reading it back gives the same bits.

    Neither an id nor a model's name has anything in it that JSON would escape.
    """
    scores = orjson.dumps(found.scores)
    told = who.response_template % (request_id.encode(), rfc3339_text(found.served_at).encode(), scores)
    if found.versions is not None:
        told = b'%b,"versions":%b}' % (told[:-1], orjson.dumps(found.versions))
    shown = who.explainer.told(found.full) if found.full is not None else found.told
    return told if shown is None else b'%b,"%b":%b}' % (told[:-1], shown.member.encode(), orjson.dumps(shown.rows))
