"""`POST /v1/feature-views/{view}/push`: answered in front of FastAPI, which only documents it.

200: every row is in the table and in the online store. 202: every row is in the table for good, and some are not in
the online store yet; the answer says which and when.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.api import problems
from serving.api.body import read_body
from serving.api.request_ids import HEADER, request_id
from serving.contract.errors import NotPushable, SkewlessError
from serving.errors import PushNotAllowed, UnknownView
from serving.pusher import MAX_ROWS, Pushed
from serving.service import Service

_BEFORE, _AFTER = "/v1/feature-views/", "/push"
_UNKNOWN = ""
_UNTIL_THEN = "rows of the future are served from their time on, once `skewless materialize` has run"
_TRY_AGAIN = "push them again, which is harmless, or wait for the next `skewless materialize`"
_log = structlog.get_logger(__name__)


class PushEndpoint:
    """ASGI middleware that answers the route itself and passes everything else on."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not _ours(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = {}
        for key, value in scope["headers"]:
            headers.setdefault(key, value)
        view = scope["path"][len(_BEFORE) : -len(_AFTER)]
        scope["request_id"] = asked_by = request_id(headers.get(HEADER, b""))
        try:
            response = await self._answer(view, headers, receive, asked_by)
        except ClientDisconnect:
            return
        except SkewlessError as error:
            response = problems.response(Request(scope), error)
            view = _UNKNOWN if isinstance(error, UnknownView | PushNotAllowed | NotPushable) else view
        except Exception as error:  # noqa: BLE001 - what nobody foresaw is told as a bare 500, and logged
            _log.error("request_failed", path=scope["path"], request_id=asked_by, exc_info=error)
            response = problems.fault(Request(scope))
        self._service.metrics.pushes.labels(view, str(response.status_code)).inc()
        response.raw_headers.append((HEADER, asked_by.encode()))
        await response(scope, receive, send)

    async def _answer(self, view: str, headers: dict[bytes, bytes], receive: Receive, asked_by: str) -> Response:
        service = self._service
        if service.pusher is None:
            raise PushNotAllowed
        pushed = await service.pusher.push(view, await read_body(headers, receive, service.settings.max_body_bytes))
        service.metrics.pushed_rows.labels(view).inc(pushed.rows)
        whole = not (pushed.waiting or pushed.unreached)
        status = HTTPStatus.OK if whole else HTTPStatus.ACCEPTED
        return Response(orjson.dumps(_body(view, pushed, asked_by)), int(status), media_type="application/json")


def _ours(path: str) -> bool:
    return path.startswith(_BEFORE) and path.endswith(_AFTER) and path.count("/") == 4


def _body(view: str, pushed: Pushed, asked_by: str) -> dict[str, object]:
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


_REQUEST = {
    "type": "object",
    "required": ["rows"],
    "additionalProperties": False,
    "properties": {
        "rows": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_ROWS,
            "items": {"type": "object"},
            "description": "Each row names every join key and feature of the view (a feature may be null), "
            "`event_timestamp`, and may name `created_timestamp` and the view's mark of tombstones.",
        }
    },
}
_ANSWER = {
    "type": "object",
    "required": ["request_id", "view", "stored", "online", "waiting"],
    "properties": {
        "request_id": {"type": "string"},
        "view": {"type": "string"},
        "stored": {"type": "integer", "description": "Rows that are in the table, on its disk."},
        "online": {"type": "integer", "description": "Rows that the online store took, or holds newer ones of."},
        "waiting": {"type": "integer", "description": "Rows that become true or known only later."},
        "detail": {"type": "string", "description": "Of 202: why rows are not online yet, and what brings them."},
    },
}
_MEANINGS = {
    400: "The body is not JSON.",
    403: "This server takes no pushes.",
    404: "No such feature view in the online store's catalog.",
    409: "Rows cannot be pushed to this view.",
    413: "The body is too long.",
    415: "The body is not announced as plain JSON.",
    422: "A row does not fit the view; `errors` say where. Nothing was stored.",
    503: "The table or the catalog cannot be used now. Nothing is known to be stored; push again.",
}
_PROBLEM: dict[str, Any] = {problems.MEDIA_TYPE: {"schema": problems.SCHEMA}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Every row is on both sides.", "content": {"application/json": {"schema": _ANSWER}}},
    202: {
        "description": "Every row is in the table; some are not in the online store yet.",
        "content": {"application/json": {"schema": _ANSWER}},
    },
}
_RESPONSES.update({status: {"description": meaning, "content": _PROBLEM} for status, meaning in _MEANINGS.items()})


def routes() -> APIRouter:
    """What the document says of the route, and 405 for other methods."""
    router = APIRouter(tags=["push"])

    @router.post(
        "/v1/feature-views/{view}/push",
        operation_id="push",
        summary="Rows into the table and the online store",
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST}}}},
        responses=_RESPONSES,
        response_class=Response,
    )
    async def push(view: str) -> Response:
        raise UnknownView(view)  # only a name with a slash in it comes here

    return router
