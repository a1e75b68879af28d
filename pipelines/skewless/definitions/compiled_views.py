"""The online feature views of the registry as they were last compiled, kept in the state folder.

Feast takes seconds of processor time to import, and most verbs want of it only what each view is and where its table
lies. So that is kept, with a digest of all that it was compiled from: while the digest stays the same, nobody needs
Feast. It is a cache: whoever deletes the file only makes the next verb slower.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
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
    "entities": ("entity_name", "entity_proto"),
}
"""The tables of Feast's SQL registry from which online views are compiled: name and content of a row."""


@dataclass(frozen=True, slots=True)
class TaggedColumn:
    """A feature or join key as its definition describes it."""

    name: str
    dtype: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CompiledView:
    """An online feature view: what its rows are, where its table lies, and the tags of its definition and columns."""

    plan: PlanView
    source: TableSource
    tags: Mapping[str, str]
    columns: tuple[TaggedColumn, ...]


@dataclass(frozen=True, slots=True)
class CompiledViews:
    """All online feature views of a project, by name. `data` is where relative source paths start."""

    project: str
    data: Path
    views: tuple[CompiledView, ...]

    def named(self, only: Sequence[str] = ()) -> list[CompiledView]:
        """All of them, or those named, each once. Raises: UnknownFeatureView."""
        known = {view.plan.name: view for view in self.views}
        for name in only:
            if name not in known:
                raise UnknownFeatureView(name, tuple(sorted(known)))
        return [known[name] for name in (dict.fromkeys(only) or known)]


@dataclass(frozen=True, slots=True)
class _KeptViews:
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
        """The views, if they are still what a compilation would give."""
        try:
            kept = msgspec.json.decode(self.file.read_bytes(), type=_KeptViews, dec_hook=lambda _, text: Path(text))
        except (OSError, msgspec.MsgspecError):
            return None
        if kept.origin != self._origin() or kept.content != self.content(kept.compiled.project):
            return None
        return kept.compiled

    def write(self, compiled: CompiledViews, content: str) -> None:
        """Keep what was compiled while the registry had this `content`. Tables of object storage are opened by Feast's
        own settings, so views of theirs are not kept.
        """
        if any(view.source.remote for view in compiled.views):
            return
        kept = msgspec.json.encode(_KeptViews(compiled, self._origin(), content), enc_hook=str)
        # A full disk, or another's folder, keeps nobody from what was compiled.
        with suppress(OSError):
            write_file(self.file, kept)

    def content(self, project: str) -> str | None:
        """A digest of what the registry holds of a project's views; None where the registry cannot be read so."""
        digest = hashlib.sha256()
        try:
            for table, columns in _REGISTRY_ROWS.items():
                for name, proto in self._rows(table, *columns, project):
                    _add(digest, table.encode(), name.encode(), bytes(proto))
        except _UnreadableRegistry:
            return None
        return digest.hexdigest()

    def _rows(self, table: str, name: str, proto: str, project: str) -> Sequence[tuple[str, bytes]]:
        """By name. Raises: _UnreadableRegistry."""
        file = open_read_only(self.registry_url)
        if file is None:
            return self._rows_by_sqlalchemy(table, name, proto, project)
        query = f"SELECT {name}, {proto} FROM {table} WHERE project_id = ? ORDER BY {name}"  # noqa: S608 - Feast's names
        try:
            with closing(file):
                return file.execute(query, (project,)).fetchall()
        except sqlite3.Error as error:
            raise _UnreadableRegistry from error

    def _rows_by_sqlalchemy(self, table: str, name: str, proto: str, project: str) -> Sequence[tuple[str, bytes]]:
        import sqlalchemy as sa  # noqa: PLC0415 - a registry that is a file is read without

        columns = (sa.column(name, sa.String()), sa.column(proto, sa.LargeBinary()))
        chosen = sa.select(*columns).select_from(sa.table(table)).where(sa.column("project_id") == project)
        try:
            engine = sa.create_engine(self.registry_url)
            try:
                with engine.connect() as connection:
                    return [(row[0], row[1]) for row in connection.execute(chosen.order_by(columns[0]))]
            finally:
                engine.dispose()
        except sa.exc.SQLAlchemyError as error:
            raise _UnreadableRegistry from error

    def _origin(self) -> str:
        """A digest of all besides the registry: the store's file as Feast reads it, the folders, and who compiles."""
        digest = hashlib.sha256()
        store = os.path.expandvars((self.repo / STORE_FILE).read_text())
        _add(digest, store.encode(), os.fsencode(self.repo), os.fsencode(self.state), version("feast").encode())
        for module in sorted(Path(__file__).parent.glob("*.py")):
            _add(digest, module.read_bytes())
        return digest.hexdigest()


def _add(digest: hashlib._Hash, *parts: bytes) -> None:
    """Each part with its length, so that no two sequences of parts make the same bytes."""
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
