"""`POST /v1/feature-views/{view}/push`: answered in front of FastAPI, which only documents it, and where it is usual
below ASGI.

200: every row is in the table and in the online store. 202: every row is in the table for good, and some are not in
the online store yet; the answer says which and when.
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
from skewless.server.api.request_ids import HEADER, request_id
from skewless.server.errors import PushNotAllowed, UnknownView
from skewless.server.push.group_commit import CommittedPush, GroupCommit
from skewless.server.service import PredictService

_ROUTE = HotRoute("/v1/feature-views/", "/push")
_UNKNOWN = ""
_UNTIL_THEN = "rows of the future are served from their time on, once `skewless materialize` has run"
_TRY_AGAIN = "push them again, which is harmless, or wait for the next `skewless materialize`"


class PushExchange(HotExchange):
    """A push that is answered below ASGI."""

    __slots__ = ("endpoint", "lane")

    def __init__(self, speaker: ResponseWriter, endpoint: PushEndpoint, lane: GroupCommit, asked_by: str) -> None:
        super().__init__(speaker, asked_by)
        self.endpoint, self.lane = endpoint, lane

    def begin(self) -> bool:
        self.lane.push(self.body, self)
        return True

    def set_result(self, pushed: CommittedPush) -> None:
        self.speaker.tell(self, *self.endpoint.told(self.lane.view, self.request_id, pushed))

    def failure(self, error: BaseException) -> Response:
        return self.endpoint.failure(self.lane.view, self.request_id, error)


class PushEndpoint:
    """The route as plain ASGI: `matches` says whether a request is its own, and then it answers."""

    def __init__(self, service: PredictService) -> None:
        self._service = service
        self._pusher = service.pusher

    matches = staticmethod(_ROUTE.matches)

    def at(self, path: bytes) -> GroupCommit | None:
        view = _ROUTE.name_sent(path)
        return None if view is None or self._pusher is None else self._pusher.at_hand(view)

    def exchange(self, speaker: ResponseWriter, who: GroupCommit, request_id: str) -> PushExchange:
        return PushExchange(speaker, self, who, request_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, view = first_headers(scope), _ROUTE.name(scope["path"])
        scope["request_id"] = asked_by = request_id(headers.get(HEADER, b""))
        try:
            status, body = self.told(view, asked_by, await self._pushed(view, headers, receive))
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - what nobody foresaw is told as a bare 500, and logged
            await self.failure(view, asked_by, error)(scope, receive, send)
            return
        told = Response(body, status, media_type="application/json")
        told.raw_headers.append((HEADER, asked_by.encode()))
        await told(scope, receive, send)

    async def _pushed(self, view: str, headers: dict[bytes, bytes], receive: Receive) -> CommittedPush:
        if self._pusher is None:
            raise PushNotAllowed
        body = await read_body(headers, receive, self._service.settings.max_body_bytes)
        return await self._pusher.push(view, body)

    def told(self, view: str, asked_by: str, pushed: CommittedPush) -> tuple[int, bytes]:
        """Status and body of an answer, which is counted."""
        whole = not (pushed.waiting or pushed.unreached)
        status = int(HTTPStatus.OK if whole else HTTPStatus.ACCEPTED)
        self._service.metrics.pushed_rows.labels(view).inc(pushed.rows)
        self._service.metrics.pushes.labels(view, str(status)).inc()
        return status, orjson.dumps(_body(view, pushed, asked_by))

    def failure(self, view: str, asked_by: str, error: BaseException) -> Response:
        """What to answer, which is counted, where a push to this view failed."""
        response = _ROUTE.failure(view, asked_by, error)
        # A label for each name that a caller makes up would never end.
        known = _UNKNOWN if isinstance(error, UnknownView | PushNotAllowed | NotPushable) else view
        self._service.metrics.pushes.labels(known, str(response.status_code)).inc()
        return response


def _body(view: str, pushed: CommittedPush, asked_by: str) -> dict[str, object]:
    online = 0 if pushed.unreached else pushed.rows - pushed.waiting
    body: dict[str, object] = {
        "request_id": asked_by,
        "view": view,
        "stored": pushed.rows,
        "online": online,
        "waiting": pushed.waiting,
    }
    told = [_UNTIL_THEN] if pushed.waiting else []
    told += [f"{pushed.unreached}; {_TRY_AGAIN}"] if pushed.unreached else []
    if told:
        body["detail"] = "; ".join(told)
    return body


def routes() -> APIRouter:
    """What the document says of the route, and 405 for other methods."""
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
        raise UnknownView(view)  # only a name with a slash in it comes here

    return router
