"""Every route, field and status of the server, from its OpenAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skewless.server.api.problems import STATUSES, problem_type
from skewless.server.app import create_app
from skewless.server.settings import ServerSettings
from tests.docs.reference.markdown import one_line, table


def http() -> str:
    document = create_app(ServerSettings(state=Path("/nowhere"))).openapi()
    parts = []
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            parts += [f"## {method.upper()} {path}", _prose(route), *_bodies(route, document), _statuses(route)]
    return "\n\n".join(part for part in parts if part)


def problem_types() -> str:
    """What the body of a problem says in `type`, `status` and `title`."""
    found = {(int(status), title) for status, title in STATUSES.values()}
    return table(
        ["status", "type", "title"], [[f"`{s}`", f"`{problem_type(title)}`", title] for s, title in sorted(found)]
    )


def _prose(route: dict[str, Any]) -> str:
    return "\n\n".join(f"{one_line(route[key]).rstrip('.')}." for key in ("summary", "description") if route.get(key))


def _bodies(route: dict[str, Any], document: dict[str, Any]) -> list[str]:
    asked = _fields(route.get("requestBody", {}), document)
    answered = _fields(route["responses"].get("200", {}), document)
    head = ["field", "type", "required", "meaning"]
    parts = [f"Request body:\n\n{table(head, asked)}"] if asked else []
    return [*parts, f"Answer:\n\n{table(head, answered)}"] if answered else parts


def _fields(body: dict[str, Any], document: dict[str, Any]) -> list[list[str]]:
    schema = _resolved(body.get("content", {}).get("application/json", {}).get("schema", {}), document)
    required = schema.get("required", ())
    return [
        [f"`{name}`", _type(one, document), "yes" if name in required else "", one_line(one.get("description"))]
        for name, one in schema.get("properties", {}).items()
    ]


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    where = schema.get("$ref")
    if where is None:
        return schema
    found: dict[str, Any] = document["components"]["schemas"][where.rsplit("/", 1)[1]]
    return found


def _type(schema: dict[str, Any], document: dict[str, Any]) -> str:
    schema = _resolved(schema, document)
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one, document) for one in schema["anyOf"]))
    kind = schema.get("type", "any")
    kinds = kind if isinstance(kind, list) else [kind]
    if kinds == ["array"]:
        return f"array of {_type(schema['items'], document)}" if "items" in schema else "array"
    return " or ".join(kinds)


def _statuses(route: dict[str, Any]) -> str:
    rows = [[f"`{status}`", answer["description"]] for status, answer in sorted(route["responses"].items())]
    return table(["status", "meaning"], rows)
