"""Writes the records of applied definitions to the state database.

Held by tests/state/test_definition_log.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from skewless.state.database import StateDatabase
from skewless.state.definition_records import AppliedObjects, DefinitionRecord
from skewless.state.schema import applied, definitions


class DefinitionLog:
    """The records of one project. Raises by each method: StateUnreachable."""

    def __init__(self, state: StateDatabase, project: str) -> None:
        self._state, self._project = state, project

    def records(self) -> list[DefinitionRecord]:
        """All records, oldest first."""
        query = select(definitions).where(definitions.c.project == self._project)
        query = query.order_by(definitions.c.applied_at, definitions.c.stored_as, definitions.c.digest)
        with self._state.connected() as connection:
            return [_record(row) for row in connection.execute(query)]

    def history(self) -> list[AppliedObjects]:
        """Every state of the definitions that was applied, oldest first."""
        query = select(applied).where(applied.c.project == self._project).order_by(applied.c.id)
        with self._state.connected() as connection:
            return [
                AppliedObjects(row.applied_at, row.applied_by, json.loads(row.objects))
                for row in connection.execute(query)
            ]

    def write(self, records: Sequence[DefinitionRecord], state: AppliedObjects | None = None) -> None:
        """Write records, each in the place of the one with its stored name and digest, and the applied state that they
        belong to; all or nothing.
        """
        with self._state.connected(write=True) as connection:
            for record in records:
                self._put(connection, record)
            if state is not None:
                row = {"applied_at": state.applied_at, "applied_by": state.applied_by}
                objects = json.dumps(dict(state.objects), sort_keys=True)
                connection.execute(insert(applied).values(project=self._project, objects=objects, **row))

    def remove(self, stored_as: Collection[str], at: datetime) -> None:
        """Note that the rows stored under these names are gone."""
        where = (definitions.c.stored_as.in_(stored_as), definitions.c.removed_at.is_(None))
        statement = update(definitions).where(definitions.c.project == self._project, *where)
        with self._state.connected(write=True) as connection:
            connection.execute(statement.values(removed_at=at))

    def _put(self, connection: Connection, record: DefinitionRecord) -> None:
        key = {"project": self._project, "stored_as": record.stored_as, "digest": record.digest}
        values: dict[str, Any] = {
            "view": record.view,
            "definition": record.definition,
            "applied_at": record.applied_at,
            "removed_at": record.removed_at,
        }
        where = [definitions.c[name] == value for name, value in key.items()]
        if not connection.execute(update(definitions).where(*where).values(**values)).rowcount:
            connection.execute(insert(definitions).values(**key, **values))


def _record(row: Row[Any]) -> DefinitionRecord:
    return DefinitionRecord(row.view, row.stored_as, row.digest, row.definition, row.applied_at, row.removed_at)
