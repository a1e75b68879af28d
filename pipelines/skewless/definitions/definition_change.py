"""Plans a change of a project's definitions around the models that are live. It decides; it does no I/O.

A view is changed in place where no live model reads it, or every one survives the change. Otherwise the new definition is
stored under a name of its own, and the old one is retained as it is until no rollout names its readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from msgspec.structs import replace as replace_struct

from skewless.contract.plan import PlanView
from skewless.contract.storage.stored_name import plain_name, view_name
from skewless.definitions.compiled_views import CompiledView
from skewless.definitions.live_reads import LiveRead
from skewless.definitions.recorded_views import decode_plan
from skewless.definitions.stored_names import StoredNames, names_beside


@dataclass(frozen=True, slots=True)
class RetainedDefinition:
    """A superseded definition that live models read. `successor` is the view's new definition; None where it was removed."""

    view: PlanView
    reads: tuple[LiveRead, ...]
    successor: PlanView | None

    @property
    def readers(self) -> tuple[str, ...]:
        return tuple(read.reader for read in self.reads)

    def __str__(self) -> str:
        name, readers = view_name(self.view.stored_as), ", ".join(self.readers)
        if self.successor is None:
            change, beside = "is removed", ""
        else:
            differences = [text for read in self.reads for text in read.changes(self.successor)]
            change = f"changes ({'; '.join(dict.fromkeys(differences)) or 'it stands beside another definition'})"
            beside = f" beside the new one, stored as {self.successor.stored_as}"
        return (
            f"feature view {name!r} {change}, and {readers} was trained on the old definition: that one, stored as "
            f"{self.view.stored_as}, is kept{beside}, until no rollout names its readers"
        )


@dataclass(frozen=True, slots=True)
class DefinitionChange:
    """The definitions to apply with their stored names, the old ones to keep, and the live models that will not answer."""

    placed: tuple[CompiledView, ...]
    retained: tuple[RetainedDefinition, ...]
    going_down: tuple[LiveRead, ...]


@dataclass(frozen=True, slots=True)
class StoredDefinitions:
    """What is stored before a change: the definition under each stored name, the current name of each registered view, and
    what live models read.
    """

    names: StoredNames
    registered: Mapping[str, PlanView]
    live: Sequence[LiveRead]

    @property
    def by_name(self) -> dict[str, PlanView]:
        """The definition under each stored name; a registered one before any record."""
        recorded = {name: decode_plan(record.definition) for name, record in self.names.latest.items()}
        return recorded | {view.stored_as: view for view in self.registered.values()}

    def reads(self, stored_as: str) -> list[LiveRead]:
        """What live models read under a name. One that is refused already, since it was trained on another definition, does
        not count.
        """
        view = self.by_name.get(stored_as)
        return [read for read in self.live if read.view.stored_as == stored_as and view and read.survives(view)]

    def name_for(self, view: PlanView, *, now: bool) -> str:
        """The name under which a definition is to be stored. With `now` it takes its predecessor's place, whoever reads that.

        Rows of other join keys lie in other hashes: they keep their name, under which they can be removed.
        """
        current = self.registered.get(view_name(view.stored_as))
        plain = plain_name(view.stored_as)
        known = self.names.recorded(view)
        names = [name for name in (known, current and current.stored_as, plain) if name and plain_name(name) == plain]
        names += names_beside(view)
        names = [name for name in names if self._same_keys(name, view)]
        return next(name for name in names if now or all(read.survives(view) for read in self.reads(name)))

    def _same_keys(self, name: str, view: PlanView) -> bool:
        other = self.by_name.get(name, view)
        keys, other_keys = ({(key.key, key.dtype) for key in defined.join_keys} for defined in (view, other))
        return keys == other_keys


def plan_change(stored: StoredDefinitions, desired: Sequence[CompiledView], *, now: bool = False) -> DefinitionChange:
    """The change to the `desired` definitions, whose stored names are plain. With `now` nothing is retained."""
    placed = []
    for view in desired:
        name = stored.name_for(view.plan, now=now)
        placed.append(replace(view, plan=replace_struct(view.plan, stored_as=name)))
    after = {view.plan.stored_as: view.plan for view in placed}
    successors = {view_name(name): plan for name, plan in after.items()}
    retained: list[RetainedDefinition] = []
    down: list[LiveRead] = []
    for name, old in sorted(stored.by_name.items()):
        reads = tuple(read for read in stored.reads(name) if name not in after or not read.survives(after[name]))
        if reads and now:
            down += reads
        elif reads:
            retained.append(RetainedDefinition(_read_by(old, reads), reads, successors.get(view_name(name))))
    return DefinitionChange(tuple(placed), tuple(retained), tuple(down))


def _read_by(view: PlanView, reads: Sequence[LiveRead]) -> PlanView:
    """The definition without the features that it gained since its readers were trained: the table need not keep those."""
    known = {field for read in reads for field in read.view.fields}
    return replace_struct(view, fields=tuple(field for field in view.fields if field in known))
