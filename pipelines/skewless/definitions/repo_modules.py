"""Loads the Python modules of a feature repository from its own folder, whatever else is installed or on `sys.path`.

The modules live in `sys.modules` below a private package, one for each repository, so they shadow nobody and two
repositories can be open in one process. Inside them `import entities` finds the `entities.py` beside them, as when Feast
loads the repository, at load time and later in their functions: each module has an `__import__` of its own, which looks
into the repository first. `sys.path` is not changed, and no bytecode is written.
"""

from __future__ import annotations

import builtins
import hashlib
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from skewless.contract.errors import SkewlessError

_PREFIX = "_skewless_repo_"
_SWEEP = threading.Lock()


@dataclass(eq=False)
class RepoModuleFailed(SkewlessError):
    """A module of a feature repository raised an error when it was loaded; `reason` begins with file and line."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} cannot be loaded: {self.reason}"


def load(repo: Path, name: str) -> ModuleType | None:
    """The module `name` (as `tables`, or `tables.orders`) of a feature repository; None where it has no such file.

    It is executed once, and again with all other modules of the repository after a file of theirs changed.
    Raises: RepoModuleFailed, and each SkewlessError that the module raises.
    """
    repo = repo.resolve()
    file = _file(repo, name)
    if file is None:
        return None
    package = _package(repo)
    try:
        return import_module(f"{package}.{name}")
    except SkewlessError:
        raise
    except Exception as error:  # whatever the project's module raises
        raise RepoModuleFailed(str(file), failure(error, repo)) from error


def failure(error: BaseException, repo: Path) -> str:
    """`FILE, line N (`SOURCE`): TypeError: TEXT` of an error that the code of a repository raised, for a message; without
    the place where none of its files took part.
    """
    repo = repo.resolve()
    text = str(error).replace(f"{_name(repo)}.", "")
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(repo)]
    place = f"{frames[-1].filename}, line {frames[-1].lineno} (`{frames[-1].line}`): " if frames else ""
    return f"{place}{type(error).__name__}: {text}"


def _name(repo: Path) -> str:
    return _PREFIX + hashlib.sha256(str(repo).encode()).hexdigest()[:12]


def _file(repo: Path, name: str) -> Path | None:
    """The file of a module, or the folder of a package without `__init__.py`."""
    path = repo.joinpath(*name.split("."))
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if file.is_file():
            return file
    return path if any(path.glob("*.py")) else None


def _package(repo: Path) -> str:
    """The name of the repository's private package, without modules if a file of theirs changed."""
    package = _name(repo)
    with _SWEEP:
        if not any(isinstance(finder, _RepoFinder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _RepoFinder())
        modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == package}
        if not modules or any(map(_changed, modules.values())):
            for name in modules:
                del sys.modules[name]
            root = ModuleType(package)
            root.__path__ = [str(repo)]
            sys.modules[package] = root
        # A listing of a folder is as old as its time stamp, so a file that was just added might not be in it.
        for folder in [folder for folder in sys.path_importer_cache if Path(folder).is_relative_to(repo)]:
            del sys.path_importer_cache[folder]
    return package


def _changed(module: ModuleType) -> bool:
    """Whether the file of a loaded module is not the one that was loaded."""
    loader = getattr(module.__spec__, "loader", None)
    if not isinstance(loader, _RepoLoader) or loader.source is None:
        return False
    try:
        return Path(loader.path).read_bytes() != loader.source
    except OSError:
        return True


class _RepoFinder:
    """Finds the modules of private packages, and no others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None or not fullname.startswith(_PREFIX):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _RepoLoader(spec.loader.name, spec.loader.path)
        return spec


class _RepoLoader(SourceFileLoader):
    """Compiles the file as it is now: bytecode is only as new as the second in which its file was written."""

    source: bytes | None = None

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        self.source = self.get_data(path)
        code: CodeType = self.source_to_code(self.source, path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        root = sys.modules[module.__name__.partition(".")[0]]
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importer(root)}
        super().exec_module(module)


def _importer(root: ModuleType) -> Callable[..., ModuleType]:
    """`__import__` for the modules of a private package: absolute names are looked for in the repository first."""
    repo = Path(root.__path__[0])

    def import_(
        name: str,
        scope: Mapping[str, object] | None = None,
        local: Mapping[str, object] | None = None,
        wanted: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or _file(repo, top) is None:
            return builtins.__import__(name, scope, local, wanted or (), level)
        module = builtins.__import__(f"{root.__name__}.{name}", scope, local, wanted or (), 0)
        # As ever, `import a.b` binds `a`, and `from a.b import c` looks for c in `a.b`.
        return module if wanted else sys.modules[f"{root.__name__}.{top}"]

    return import_
