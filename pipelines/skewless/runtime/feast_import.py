"""Import Feast without the type checks that take two thirds of its import.

Feast decorates its classes with typeguard's `typechecked`, which parses and compiles the whole module again for each of
their methods. The constructors, which take what a person wrote, keep their checks.

Held by tests/runtime/test_feast_import.py.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class _FeastLoader(Loader):
    """Loads Feast as its own loader does, once typeguard is ready for it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._loader
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _FeastFinder)]
        _check_constructors_alone()
        self._loader.exec_module(module)


class _FeastFinder(MetaPathFinder):
    """Finds Feast where Python would, for `_FeastLoader`. Who only asks whether Feast is installed loads nothing."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == "feast" else None
        if spec is not None and spec.loader is not None:
            spec.loader = _FeastLoader(spec.loader)
        return spec


def check_constructors_alone() -> None:
    """From the next import of Feast in this process, only constructors of Feast's classes check their arguments' types.

    For the edge of a process of ours: where Feast is imported already, or the process is a user's own, nothing changes.
    """
    if "feast" not in sys.modules and not any(isinstance(finder, _FeastFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FeastFinder())


def main_with_feast(module: str, argument: str) -> list[str]:
    """The command of a process of ours that runs `main()` of a module, which imports Feast, with one argument."""
    program = f"from {__name__} import {check_constructors_alone.__name__} as check; check(); "
    return [sys.executable, "-W", "ignore", "-c", f"{program}from {module} import main; main()", argument]


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
