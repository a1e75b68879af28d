"""`POST /v1/feature-views/{view}/push`: answered in front of FastAPI, which only documents it; ordinary requests
below ASGI.

200: every row is in the table and in the online store. 202: every row is durable in the table, and some are not in the
online store yet; the response says how many, and when they will be.
"""

from __future__ import annotations

from http import HTTPStatus

import orjson
from fastapi import APIRouter
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skewless.contract.errors import NotPushable
from skewless.server.api.body import read_body
from skewless.server.api.hot_exchange import HotExchange, ResponseWriter
from skewless.server.api.hot_route import HotRoute, first_headers
from skewless.server.api.push_openapi import OPENAPI, RESPONSES
from skewless.server.api.request_ids import HEADER, resolve_request_id
from skewless.server.errors import PushNotAllowed, UnknownView
from skewless.server.push.group_commit import CommittedPush, GroupCommit
from skewless.server.service import PredictService

_ROUTE = HotRoute("/v1/feature-views/", "/push")
_UNKNOWN = ""
_FUTURE_ROWS = "rows of the future are served from their time on, once `skewless materialize` has run"
_TRY_AGAIN = "push them again, which is harmless, or wait for the next `skewless materialize`"


class PushExchange(HotExchange):
    """A push that is answered below ASGI."""

    __slots__ = ("commit", "endpoint")

    def __init__(self, writer: ResponseWriter, endpoint: PushEndpoint, commit: GroupCommit, request_id: str) -> None:
        super().__init__(writer, request_id)
        self.endpoint, self.commit = endpoint, commit

    def begin(self) -> bool:
        self.commit.push(self.body, self)
        return True

    def set_result(self, pushed: CommittedPush) -> None:
        self.writer.write(self, *self.endpoint.response_body(self.commit.view, self.request_id, pushed))

    def failure(self, error: BaseException) -> Response:
        return self.endpoint.failure(self.commit.view, self.request_id, error)


class PushEndpoint:
    """The route as plain ASGI, for requests that `matches` accepts."""

    def __init__(self, service: PredictService) -> None:
        self._service = service
        self._pusher = service.pusher

    matches = staticmethod(_ROUTE.matches)

    def target(self, path: bytes) -> GroupCommit | None:
        view = _ROUTE.encoded_name(path)
        return None if view is None or self._pusher is None else self._pusher.cached(view)

    def exchange(self, writer: ResponseWriter, target: GroupCommit, request_id: str) -> PushExchange:
        return PushExchange(writer, self, target, request_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, view = first_headers(scope), _ROUTE.name(scope["path"])
        scope["request_id"] = request_id = resolve_request_id(headers.get(HEADER, b""))
        try:
            status, body = self.response_body(view, request_id, await self._push(view, headers, receive))
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - an error that is not ours is answered by a bare 500, and logged
            await self.failure(view, request_id, error)(scope, receive, send)
            return
        response = Response(body, status, media_type="application/json")
        response.raw_headers.append((HEADER, request_id.encode()))
        await response(scope, receive, send)

    async def _push(self, view: str, headers: dict[bytes, bytes], receive: Receive) -> CommittedPush:
        if self._pusher is None:
            raise PushNotAllowed
        body = await read_body(headers, receive, self._service.settings.max_body_bytes)
        return await self._pusher.push(view, body)

    def response_body(self, view: str, request_id: str, pushed: CommittedPush) -> tuple[int, bytes]:
        """Status and body of the response to a push; it is counted."""
        online = not (pushed.waiting or pushed.online_error)
        status = int(HTTPStatus.OK if online else HTTPStatus.ACCEPTED)
        self._service.metrics.pushed_rows.labels(view).inc(pushed.rows)
        self._service.metrics.pushes.labels(view, str(status)).inc()
        return status, orjson.dumps(_body(view, pushed, request_id))

    def failure(self, view: str, request_id: str, error: BaseException) -> Response:
        """The response to a push to this view that failed; it is counted."""
        response = _ROUTE.failure(view, request_id, error)
        # A label for each name that callers invent would be unbounded.
        label = _UNKNOWN if isinstance(error, UnknownView | PushNotAllowed | NotPushable) else view
        self._service.metrics.pushes.labels(label, str(response.status_code)).inc()
        return response


def _body(view: str, pushed: CommittedPush, request_id: str) -> dict[str, object]:
    online = 0 if pushed.online_error else pushed.rows - pushed.waiting
    body: dict[str, object] = {
        "request_id": request_id,
        "view": view,
        "stored": pushed.rows,
        "online": online,
        "waiting": pushed.waiting,
    }
    details = [_FUTURE_ROWS] if pushed.waiting else []
    details += [f"{pushed.online_error}; {_TRY_AGAIN}"] if pushed.online_error else []
    if details:
        body["detail"] = "; ".join(details)
    return body


def routes() -> APIRouter:
    """The route in the OpenAPI document, and 405 for other methods."""
    router = APIRouter(tags=["push"])

    @router.post(
        "/v1/feature-views/{view}/push",
        operation_id="push",
        summary="Rows into the table and the online store",
        openapi_extra=OPENAPI,
        responses=RESPONSES,
        response_class=Response,
    )
    async def push(view: str) -> Response:
        raise UnknownView(view)  # only a name with a slash comes here

    return router
