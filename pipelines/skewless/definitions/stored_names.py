"""The names that the online store has for definitions of views: by default the view's own, else `view@1f2e3d4c`.

A definition that a published model reads keeps its name when it is superseded; the new one gets another name. Names are
looked up by the content of a definition, so that a process which still sees the old registry reads the old rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from msgspec.structs import replace

from skewless.contract.plan import PlanView, differences
from skewless.contract.storage.stored_name import DIGITS, plain_name
from skewless.definitions.recorded_views import decode_plan, definition_digest
from skewless.state.definition_records import DefinitionRecord


def names_beside(view: PlanView) -> Iterator[str]:
    """Names for a definition that is stored beside another one of its view, the shortest first."""
    plain, digest = plain_name(view.stored_as), definition_digest(view)
    return (f"{plain}@{digest[:digits]}" for digits in range(DIGITS, len(digest) + 1))


def extends(new: PlanView, old: PlanView) -> bool:
    """Whether whoever reads the definition `old` can read rows of `new`, whatever they use."""
    return not differences(old, new, old.fields)


@dataclass(frozen=True)
class StoredNames:
    """The stored names of one project's definitions, by its records, oldest first."""

    records: tuple[DefinitionRecord, ...] = ()

    @classmethod
    def of_records(cls, records: Iterable[DefinitionRecord]) -> StoredNames:
        """The names by those records whose rows were not removed."""
        return cls(tuple(record for record in records if record.removed_at is None))

    @cached_property
    def latest(self) -> dict[str, DefinitionRecord]:
        """The latest definition stored under each name."""
        return {record.stored_as: record for record in self.records}

    def recorded(self, view: PlanView) -> str | None:
        """The name under which this definition is recorded; `view` has the plain stored name, or one of its definitions'."""
        plain, digest = plain_name(view.stored_as), definition_digest(view)
        names = [r.stored_as for r in self.records if r.digest == digest and plain_name(r.stored_as) == plain]
        return names[-1] if names else None

    def of(self, view: PlanView) -> PlanView:
        """The view with the name that its rows are stored under. A definition that was never recorded takes the plain name,
        unless another definition has it that cannot be read in rows of this one.
        """
        name = self.recorded(view)
        if name is None:
            names = (plain_name(view.stored_as), *names_beside(view))
            name = next(name for name in names if self._readable(name, view))
        return view if name == view.stored_as else replace(view, stored_as=name)

    def _readable(self, name: str, view: PlanView) -> bool:
        """Whether nothing is stored under a name that could not be read in rows of `view`."""
        other = self.latest.get(name)
        return other is None or extends(view, decode_plan(other.definition))
