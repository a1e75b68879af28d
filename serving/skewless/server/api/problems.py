"""Errors as RFC 9457 problem details. The one table from our errors to HTTP statuses.

A detail is always our own text. Messages of other libraries are never sent to a client, only logged.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skewless.contract.errors import CorruptRow, InvalidInput, InvalidRows, NotPushable, SkewlessError, UnknownSchema
from skewless.server import errors
from skewless.server.api.request_ids import HEADER

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
_TYPE = "urn:skewless:problem:"
_log = structlog.get_logger(__name__)

STATUSES: dict[type[SkewlessError], tuple[HTTPStatus, str]] = {
    errors.UnknownModel: (HTTPStatus.NOT_FOUND, "Unknown model"),
    errors.UnknownVersion: (HTTPStatus.NOT_FOUND, "Unknown version"),
    errors.ModelRetired: (HTTPStatus.GONE, "Model retired"),
    errors.ModelNotReady: (HTTPStatus.SERVICE_UNAVAILABLE, "Model not ready"),
    errors.StoreUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "Online store unavailable"),
    errors.BodyTooLarge: (HTTPStatus.CONTENT_TOO_LARGE, "Body too large")
    if hasattr(HTTPStatus, "CONTENT_TOO_LARGE")
    else (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Body too large"),
    errors.UnsupportedBody: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported body"),
    errors.MalformedBody: (HTTPStatus.BAD_REQUEST, "Malformed body"),
    errors.InvalidRequest: (HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid request"),
    errors.NoContributions: (HTTPStatus.UNPROCESSABLE_ENTITY, "No contributions"),
    errors.MalformedMessage: (HTTPStatus.BAD_REQUEST, "Malformed message"),
    errors.HeadTooLong: (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Head too long"),
    errors.VersionNotSupported: (HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Version not supported"),
    errors.MethodNotSupported: (HTTPStatus.NOT_IMPLEMENTED, "Method not supported"),
    errors.RequestTimedOut: (HTTPStatus.REQUEST_TIMEOUT, "Request timed out"),
    errors.ConnectionsExhausted: (HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections"),
    errors.AsOfNotAllowed: (HTTPStatus.FORBIDDEN, "As of not allowed"),
    errors.UnknownView: (HTTPStatus.NOT_FOUND, "Unknown feature view"),
    errors.TableUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "Table unavailable"),
    errors.PushNotAllowed: (HTTPStatus.FORBIDDEN, "Push not allowed"),
    InvalidRows: (HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid rows"),
    NotPushable: (HTTPStatus.CONFLICT, "Not pushable"),
    errors.UnreadableRows: (HTTPStatus.BAD_GATEWAY, "Corrupt online row"),
    CorruptRow: (HTTPStatus.BAD_GATEWAY, "Corrupt online row"),
    UnknownSchema: (HTTPStatus.BAD_GATEWAY, "Unknown row schema"),
}
"""By exact class. An error of ours that is not listed is a bug: 500."""

SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "RFC 6901 pointer into the body."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def response(request: Request, error: SkewlessError) -> Response:
    """The response to an error of ours."""
    status, title = STATUSES.get(type(error), (HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error"))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("request_failed", path=request.url.path, error=repr(error))
        return fault(request)
    listed = error.errors if isinstance(error, errors.InvalidRequest | InvalidRows | errors.UnreadableRows) else ()
    answer = _problem(request, status, title, str(error), listed)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def below_asgi(path: str, request_id: str, error: BaseException) -> Response:
    """The response to what failed outside of the application, with its id; an error that is not ours is logged."""
    request = Request({"type": "http", "path": path, "headers": [], "request_id": request_id})
    if isinstance(error, SkewlessError):
        answer = response(request, error)
    else:
        _log.error("request_failed", path=path, request_id=request_id, exc_info=error)
        answer = fault(request)
    answer.raw_headers.append((HEADER, request_id.encode()))
    return answer


def install(app: FastAPI) -> None:
    """Make `app` answer every error with problem details."""
    app.add_exception_handler(SkewlessError, _own_error)
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(RequestValidationError, _framework_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_middleware(FaultMiddleware)


def problem_type(title: str) -> str:
    """The URN that names a kind of problem."""
    return _TYPE + title.lower().replace(" ", "-")


def _problem(
    request: Request, status: HTTPStatus, title: str, detail: str, listed: tuple[InvalidInput, ...]
) -> Response:
    body: dict[str, object] = {
        "type": problem_type(title),
        "title": title,
        "status": int(status),
        "instance": quote(request.url.path),
    }
    if detail:
        body["detail"] = detail
    request_id = request.scope.get("request_id")
    if request_id:
        body["request_id"] = request_id
    if listed:
        body["errors"] = [{"pointer": error.pointer, "detail": error.reason} for error in listed]
    return Response(orjson.dumps(body), int(status), media_type=MEDIA_TYPE)


async def _own_error(request: Request, error: Exception) -> Response:
    return response(request, error) if isinstance(error, SkewlessError) else fault(request)


async def _framework_error(request: Request, error: Exception) -> Response:
    """404, 405 and the like, raised by the framework; its texts are replaced."""
    code = error.status_code if isinstance(error, HTTPException) else HTTPStatus.UNPROCESSABLE_ENTITY
    status = HTTPStatus(code)
    answer = _problem(request, status, status.phrase, status.description, ())
    if isinstance(error, HTTPException) and error.headers:
        answer.headers.update(error.headers)
    return answer


async def _disconnected(_: Request, __: Exception) -> Response:
    return Response(status_code=HTTPStatus.BAD_REQUEST)


class FaultMiddleware:
    """Answers an unexpected error with a bare 500 and logs it.

    Starlette's own handler raises the error again after the response, and uvicorn then closes the connection under the
    client's next request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            if started or scope["type"] != "http":
                raise
            _log.exception("request_failed", path=scope["path"], request_id=scope.get("request_id"))
            await fault(Request(scope))(scope, receive, send)


def fault(request: Request) -> Response:
    return _problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error", "", ())
