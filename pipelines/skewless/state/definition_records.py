"""Records of applied definitions, and their reading without SQLAlchemy for verbs that only report.

A definition of a view is identified by the digest of its content. Its record has the name that its rows are stored under
in the online store. Records are never deleted: the rows of a definition with a `removed_at` are gone, but an audit may
still need its table.

Held by tests/state/test_definition_log.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from skewless.state.run_history import StateUnreachable
from skewless.state.sqlite_file import is_missing, open_read_only, stored_time

_NO_TABLE = "no such table"


@dataclass(frozen=True, slots=True)
class DefinitionRecord:
    """A definition of the feature view `view`, which became current at `applied_at` the last time.

    `definition` is its content, as `skewless.definitions.recorded_views` encodes it.
    """

    view: str
    stored_as: str
    digest: str
    definition: str
    applied_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AppliedObjects:
    """One state of a project's definitions: the digest of each object by its kind and name."""

    applied_at: datetime
    applied_by: str
    objects: Mapping[str, str] = field(default_factory=dict)


def sqlite_records(url: str, project: str) -> list[DefinitionRecord] | None:
    """The records of a project, oldest first; None where the URL is not a SQLite file that can be read here.

    Raises: StateUnreachable.
    """
    if is_missing(url):
        return []
    file = open_read_only(url)
    if file is None:
        return None
    query = (
        "SELECT view, stored_as, digest, definition, applied_at, removed_at FROM view_definitions "
        "WHERE project = ? ORDER BY applied_at, stored_as, digest"
    )
    try:
        with closing(file):
            rows = file.execute(query, (project,)).fetchall()
    except sqlite3.Error as error:
        if _NO_TABLE in str(error):
            return []
        raise StateUnreachable(url, str(error)) from error
    return [
        DefinitionRecord(view, name, digest, text, stored_time(at), removed and stored_time(removed))
        for view, name, digest, text, at, removed in rows
    ]
