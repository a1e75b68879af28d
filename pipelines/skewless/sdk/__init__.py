"""The Python API, for notebooks and programs; the command line is a thin shell over it. It imports `erasure` and what is
below it. Everything is loaded at its first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skewless.sdk.project import Project

_EXPORTS = {
    "Project": "skewless.sdk.project",
}
__all__ = ["Project"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
