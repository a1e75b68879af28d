"""Import Feast without the type checks that take two thirds of its import.

Feast decorates its classes with typeguard's `typechecked`, which parses and compiles the whole module again for each of
their methods. The constructors, which take what a person wrote, keep their checks.

Held by tests/runtime/test_feast_import.py.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _BeforeFeast(MetaPathFinder):
    """Finds no module; it is asked before Feast is imported, and not again."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the protocol's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname == "feast":
            sys.meta_path.remove(self)
            _check_constructors_alone()
        return None


def check_constructors_alone() -> None:
    """From the next import of Feast in this process, only constructors of Feast's classes check their arguments' types.

    For the edge of a process of ours: where Feast is imported already, or the process is a user's own, nothing changes.
    """
    if "feast" not in sys.modules and not any(isinstance(finder, _BeforeFeast) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BeforeFeast())


def _check_constructors_alone() -> None:
    import typeguard  # noqa: PLC0415 - verbs without Feast do not pay for it

    checked: Callable[..., Any] = typeguard.typechecked

    def typechecked(target: Any = None, **options: Any) -> Any:  # noqa: ANN401 - as typeguard's own
        if not inspect.isclass(target) or target.__module__.partition(".")[0] != "feast":
            return checked(**options) if target is None else checked(target, **options)
        if constructor := vars(target).get("__init__"):
            setattr(target, "__init__", checked(constructor, **options))  # noqa: B010 - as typeguard does
        return target

    typeguard.typechecked = typechecked
