"""The settings of both sides; one that both read is listed once."""

from __future__ import annotations

from skewless.runtime.settings import ProjectSettings
from skewless.server.settings import ServerSettings
from skewless.settings.process_environment import PREFIX
from tests.docs.reference.markdown import table

# Set by the server for its own workers, not by an operator.
INTERNAL = {"metrics_folder"}


def settings() -> str:
    offline, server = ProjectSettings.model_fields, ServerSettings.model_fields
    rows = []
    for name in dict.fromkeys((*offline, *server)):
        if name in INTERNAL:
            continue
        field = server.get(name) or offline[name]
        sides = [side for side, fields in (("offline", offline), ("server", server)) if name in fields]
        default = f" Default: {field.default}." if isinstance(field.default, int | float | str) else ""
        rows.append([f"`{PREFIX}{name.upper()}`", ", ".join(sides), f"{field.description}{default}"])
    return table(["variable", "read by", "meaning"], rows)
