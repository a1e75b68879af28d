"""The recorded definitions of a project: the names that they are stored under, and those that were superseded.

Held by tests/project/test_apply_change.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.contract.plan import PlanView
from skewless.contract.storage.stored_name import plain_name
from skewless.definitions.compiled_views import CompiledView
from skewless.definitions.recorded_views import decode_view, definition_digest
from skewless.definitions.stored_names import StoredNames
from skewless.state.definition_records import DefinitionRecord, sqlite_records

if TYPE_CHECKING:
    from skewless.state.database import StateDatabase
    from skewless.state.definition_log import DefinitionLog


class RecordedDefinitions:
    """Read anew at each use, since other processes apply definitions. `state` opens the state database, which a SQLite file
    needs only for writing. Raises by each method: StateUnreachable.
    """

    def __init__(self, state_url: str, state: Callable[[], StateDatabase], project: str, data: Path) -> None:
        self._state_url, self._state, self._project, self._data = state_url, state, project, data

    @cached_property
    def log(self) -> DefinitionLog:
        """The records, to be written."""
        from skewless.state.definition_log import DefinitionLog  # noqa: PLC0415 - SQLAlchemy, which reading a file needs not

        return DefinitionLog(self._state(), self._project)

    def records(self) -> list[DefinitionRecord]:
        """All records, oldest first."""
        records = sqlite_records(self._state_url, self._project)
        return self.log.records() if records is None else records

    @property
    def names(self) -> StoredNames:
        """The names that definitions are stored under."""
        return StoredNames.of_records(self.records())

    def retained(self, current: Collection[str]) -> list[CompiledView]:
        """The definitions that are stored under other names than the `current` ones, by name. Raises: InvalidPlan."""
        latest = self.names.latest
        kept = [decode_view(latest[name].definition, self._data) for name in sorted(latest.keys() - set(current))]
        return [replace(view, source=replace(view.source, superseded=True)) for view in kept]

    def of(self, view: PlanView) -> CompiledView | None:
        """The recorded definition that a model was trained on, also if its rows are gone. Raises: InvalidPlan."""
        digest, plain = definition_digest(view), plain_name(view.stored_as)
        same = [r for r in self.records() if r.digest == digest and plain_name(r.stored_as) == plain]
        return decode_view(same[-1].definition, self._data) if same else None
