"""The push route in OpenAPI; FastAPI does not read its body, so it is described here."""

from __future__ import annotations

from typing import Any

from skewless.server.api import problems
from skewless.server.push.group_commit import MAX_ROWS

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
        "online": {"type": "integer", "description": "Rows that the online store took, or has newer ones of."},
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
OPENAPI: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST}}}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Every row is on both sides.", "content": {"application/json": {"schema": _ANSWER}}},
    202: {
        "description": "Every row is in the table; some are not in the online store yet.",
        "content": {"application/json": {"schema": _ANSWER}},
    },
}
RESPONSES.update({status: {"description": meaning, "content": _PROBLEM} for status, meaning in _MEANINGS.items()})
