"""The online feature views of the registry as they were last compiled, kept in the state folder.

Feast takes seconds of processor time to import, and most verbs want of it only what each view is and where its table
lies. So that is kept, with a digest of all that it was compiled from: while the digest stays the same, nobody needs
Feast. It is a cache: whoever deletes the file only makes the next verb slower.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
from sqlalchemy import LargeBinary, String, column, create_engine, select, table
from sqlalchemy.exc import SQLAlchemyError

from skewless.contract.plan import PlanView
from skewless.contract.state_folder import STORE_FILE
from skewless.files.durable import write_file
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import UnknownFeatureView
from skewless.state import sqlite

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
            engine = sqlite.share(create_engine(self.registry_url))
            try:
                with engine.connect() as connection:
                    for rows, (name, proto) in _REGISTRY_ROWS.items():
                        columns = (column(name, String()), column(proto, LargeBinary()))
                        chosen = select(*columns).select_from(table(rows)).where(column("project_id") == project)
                        for row in connection.execute(chosen.order_by(columns[0])):
                            _add(digest, rows.encode(), str(row[0]).encode(), bytes(row[1]))
            finally:
                engine.dispose()
        except SQLAlchemyError:
            return None
        return digest.hexdigest()

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
