"""The online feature views of the registry as last compiled, cached in the state folder.

Importing Feast takes seconds of processor time, and most commands need from it only each view's plan and table. These
are cached with a digest of everything they were compiled from: while the digest is unchanged, Feast is not imported.
Deleting the file only makes the next command slower.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec

from skewless.contract.plan import PlanView
from skewless.contract.state_folder import STORE_FILE
from skewless.files.durable import write_file
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import UnknownFeatureView
from skewless.state.sqlite_file import open_read_only

_REGISTRY_ROWS = {
    "feature_views": ("feature_view_name", "feature_view_proto"),
    "stream_feature_views": ("feature_view_name", "feature_view_proto"),
    "on_demand_feature_views": ("feature_view_name", "feature_view_proto"),
    "entities": ("entity_name", "entity_proto"),
}
"""The tables of Feast's SQL registry from which online views are compiled: name and content of a row."""
_RegistryRow = tuple[str, str, bytes]
"""A table, and the name and content of one of its rows."""


@dataclass(frozen=True, slots=True)
class TaggedColumn:
    """A feature or join key as its definition describes it."""

    name: str
    dtype: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CompiledView:
    """An online feature view: its plan, its table, and the tags of its definition and columns."""

    plan: PlanView
    source: TableSource
    tags: Mapping[str, str]
    columns: tuple[TaggedColumn, ...]

    def stored_by(self, name: Callable[[PlanView], PlanView]) -> CompiledView:
        """The same view under the stored name that `name` gives it."""
        plan = name(self.plan)
        return self if plan is self.plan else replace(self, plan=plan)


@dataclass(frozen=True, slots=True)
class CompiledViews:
    """All online feature views of a project, by name. `data` is the folder that relative source paths start from, and
    `stored_outputs` are the on-demand views whose outputs are stored.
    """

    project: str
    data: Path
    views: tuple[CompiledView, ...]
    stored_outputs: tuple[str, ...] = ()

    def named(self, only: Sequence[str] = ()) -> list[CompiledView]:
        """All of them, or those named, each once. Raises: UnknownFeatureView."""
        known = {view.plan.name: view for view in self.views}
        for name in only:
            if name not in known:
                raise UnknownFeatureView(name, tuple(sorted(known)))
        return [known[name] for name in (dict.fromkeys(only) or known)]


@dataclass(frozen=True, slots=True)
class _CachedViews:
    compiled: CompiledViews
    origin: str
    content: str


class _UnreadableRegistry(Exception):
    """The registry has no such tables, or does not answer: Feast says why."""


@dataclass(frozen=True, slots=True)
class CompiledViewCache:
    """The compiled views of the project whose definitions are in `repo` and whose tables are below `state`, in `file`."""

    file: Path
    repo: Path
    state: Path
    registry_url: str

    def read(self) -> CompiledViews | None:
        """The cached views; None where there are none, or what they were compiled from has changed."""
        try:
            cached = msgspec.json.decode(self.file.read_bytes(), type=_CachedViews, dec_hook=lambda _, text: Path(text))
        except (OSError, msgspec.MsgspecError):
            return None
        if cached.origin != self._origin() or cached.content != self.content(cached.compiled.project):
            return None
        return cached.compiled

    def write(self, compiled: CompiledViews, content: str) -> None:
        """Cache what was compiled while the registry had this `content`."""
        encoded = msgspec.json.encode(_CachedViews(compiled, self._origin(), content), enc_hook=str)
        # The compiled views are valid even where the file cannot be written.
        with suppress(OSError):
            write_file(self.file, encoded)

    def content(self, project: str) -> str | None:
        """A digest of the registry's rows of a project's views; None where its database cannot be read."""
        digest = hashlib.sha256()
        file = open_read_only(self.registry_url)
        try:
            for table, name, proto in self._rows_by_sqlalchemy(project) if file is None else _rows(file, project):
                _add(digest, table.encode(), name.encode(), bytes(proto))
        except _UnreadableRegistry:
            return None
        return digest.hexdigest()

    def _rows_by_sqlalchemy(self, project: str) -> Iterator[_RegistryRow]:
        """As `_rows`. Raises: _UnreadableRegistry."""
        import sqlalchemy as sa  # noqa: PLC0415 - a registry that is a file is read without

        try:
            engine = sa.create_engine(self.registry_url)
            try:
                with engine.connect() as connection:
                    for table, (name, proto) in _REGISTRY_ROWS.items():
                        columns = (sa.column(name, sa.String()), sa.column(proto, sa.LargeBinary()))
                        of_project = sa.select(*columns).where(sa.column("project_id") == project)
                        for row in connection.execute(of_project.select_from(sa.table(table)).order_by(columns[0])):
                            yield table, row[0], row[1]
            finally:
                engine.dispose()
        except sa.exc.SQLAlchemyError as error:
            raise _UnreadableRegistry from error

    def _origin(self) -> str:
        """A digest of everything but the registry: feature_store.yaml as Feast reads it, the folders, the compiler."""
        digest = hashlib.sha256()
        store = os.path.expandvars((self.repo / STORE_FILE).read_text())
        _add(digest, store.encode(), os.fsencode(self.repo), os.fsencode(self.state), _compiler())
        return digest.hexdigest()


def _rows(file: sqlite3.Connection, project: str) -> Iterator[_RegistryRow]:
    """The registry's rows of a project's views, table by table in the order of their names; then the file is closed.

    Raises: _UnreadableRegistry.
    """
    try:
        with closing(file):
            for table, (name, proto) in _REGISTRY_ROWS.items():
                query = f"SELECT {name}, {proto} FROM {table} WHERE project_id = ? ORDER BY {name}"  # noqa: S608 - Feast's names
                for row in file.execute(query, (project,)):
                    yield table, row[0], row[1]
    except sqlite3.Error as error:
        raise _UnreadableRegistry from error


@cache
def _compiler() -> bytes:
    """A digest of what compiles: Feast's version, and the code of this room. It is read once, as this process has it."""
    digest = hashlib.sha256()
    _add(digest, version("feast").encode())
    for module in sorted(Path(__file__).parent.glob("*.py")):
        _add(digest, module.read_bytes())
    return digest.digest()


def _add(digest: hashlib._Hash, *parts: bytes) -> None:
    """Each part with its length, so that no two sequences of parts give the same bytes."""
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
