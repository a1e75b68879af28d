"""The predict route in OpenAPI; FastAPI does not read its body, so it is described here."""

from __future__ import annotations

from typing import Any

from skewless.server.api import problems
from skewless.server.predict.request import MAX_ROWS

_STATUS = {"type": "string", "enum": ["PRESENT", "NULL", "NOT_FOUND", "STALE", "NOT_READ"]}
_TIME = {"type": "string", "format": "date-time"}
_SCALAR = {"type": ["string", "number", "boolean", "null"]}

_REQUEST = {
    "type": "object",
    "required": ["rows"],
    "additionalProperties": False,
    "properties": {
        "rows": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_ROWS,
            "items": {"type": "object", "additionalProperties": _SCALAR},
            "description": "One object a row, which names each join key and request input of the model (see GET "
            "/v1/models/{name}); null where unknown. Times are RFC 3339 strings, bytes are base64.",
        },
        "explain": {
            "type": "string",
            "enum": ["features", "contributions"],
            "description": "Return the features that were used, or what each input of a tree model contributed to its "
            "raw scores.",
        },
        "as_of": {**_TIME, "description": "Predict as of this time, where the server allows it."},
    },
}
_ROW = {"customer": "C-1042", "country": "PT", "basket_items": 3, "hour": 8}
_EXAMPLES = {
    "one row": {"value": {"rows": [_ROW]}},
    "with features": {"value": {"rows": [_ROW], "explain": "features"}},
    "with contributions": {"value": {"rows": [_ROW], "explain": "contributions"}},
    "as of a time": {"value": {"rows": [_ROW], "as_of": "2025-10-01T12:00:00Z"}},
}
_SCORE = {"type": ["number", "string", "boolean", "null"]}
_FEATURE = {
    "type": "object",
    "required": ["value", "status"],
    "properties": {
        "value": _SCALAR,
        "status": _STATUS,
        "event_timestamp": {"type": ["string", "null"], "format": "date-time"},
        "age_seconds": {"type": ["number", "null"]},
    },
}
_SUMMAND = {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]}
_CONTRIBUTIONS = {
    "type": "object",
    "required": ["base", "raw", "features"],
    "properties": {
        "base": {**_SUMMAND, "description": "The raw score of the average training row, as the trees counted them."},
        "raw": {**_SUMMAND, "description": "The sum of the leaves, in float64: of a classifier, the log odds."},
        "features": {"type": "object", "additionalProperties": _SUMMAND, "description": "By input of the model."},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["request_id", "model", "version", "served_at", "scores"],
    "properties": {
        "request_id": {"type": "string"},
        "model": {"type": "string"},
        "version": {"type": "string"},
        "served_at": _TIME,
        "scores": {
            "type": "array",
            "items": {"anyOf": [_SCORE, {"type": "array", "items": _SCORE}, {"type": "object"}]},
            "description": "One score a row, in the order of the rows: float32, exact. Null where it is NaN. Of a model "
            "with an output of several values a list a row, of one with several outputs an object of them.",
        },
        "features": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": _FEATURE},
            "description": "With `explain: features`: per row, each stored feature (`view__feature`), request input (`name`) and "
            "transform output by name. Only stored features have a time and an age.",
        },
        "contributions": {
            "type": "array",
            "items": _CONTRIBUTIONS,
            "description": "With `explain: contributions`: per row, Shapley values of the model's inputs; base and "
            "contributions sum up to the raw score. Of several classes a list each.",
        },
    },
}
_ANSWER_EXAMPLE = {
    "request_id": "6f1f0c2e9d5a4c3c8f4d2b1a0e9f8d7c",
    "model": "churn",
    "version": "1.0.0",
    "served_at": "2025-10-01T12:00:00Z",
    "scores": [0.2193414270877838],
}
_PROBLEM_EXAMPLE = {
    "type": "urn:skewless:problem:invalid-request",
    "title": "Invalid request",
    "status": 422,
    "detail": "/rows/0/hour: must be an integer of 64 bits, without a fraction or exponent, or null",
    "instance": "/v1/models/churn/predict",
    "request_id": "6f1f0c2e9d5a4c3c8f4d2b1a0e9f8d7c",
    "errors": [
        {
            "pointer": "/rows/0/hour",
            "detail": "must be an integer of 64 bits, without a fraction or exponent, or null",
        }
    ],
}
_MEANINGS = {
    400: "The body is not JSON.",
    403: "`as_of` is not allowed.",
    404: "No such model.",
    410: "The model is retired, and `detail` says why.",
    413: "The body is too long.",
    415: "The body is not announced as plain JSON.",
    422: "The body does not fit the model, and `errors` say where; or the model has no contributions.",
    502: "The online store holds something that cannot be read.",
    503: "The model or the online store is not available now; `Retry-After` says when to try again.",
}

OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _REQUEST, "examples": _EXAMPLES}},
    }
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One score a row.",
        "content": {"application/json": {"schema": _ANSWER, "example": _ANSWER_EXAMPLE}},
    }
}
for _status, _meaning in _MEANINGS.items():
    _content: dict[str, Any] = {"schema": problems.SCHEMA}
    if _status == _PROBLEM_EXAMPLE["status"]:
        _content["example"] = _PROBLEM_EXAMPLE
    RESPONSES[_status] = {"description": _meaning, "content": {problems.MEDIA_TYPE: _content}}
