"""The project that is made from events: the last values of each entity, and the label of the next event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from skewless.scaffold.draft import EntityDraft, FeatureDraft, ModelDraft, ProjectDraft
from skewless.scaffold.event_choices import BadEventColumn, ChosenColumn, EventChoices, as_option
from skewless.scaffold.event_columns import EventColumn
from skewless.scaffold.event_database import EventDatabase, event_database
from skewless.scaffold.event_files import EventFiles, event_files
from skewless.scaffold.event_source import EventSource, EventsUnreadable, whole_number
from skewless.scaffold.label_values import LabelValues
from skewless.scaffold.names import feast_name, identifier, unused
from skewless.scaffold.write import require_free, write_project

_RESERVED = {
    *("event_timestamp", "created_timestamp", "last_event_unix", "request_unix", "days_since_last", "recency"),
    *("entities", "features", "transforms", "services", "models", "tables", "request", "inputs", "labels"),
    *("feast", "pd", "timedelta", "on_demand_feature_view"),
}
"""Names that the made modules and tables have already."""
_FEATURES = ("Int64", "Float64", "Bool", "String")
_SHARES = (0.0, 0.7, 0.85, 1.0)
"""Of the events: where training, validation and test begin, and the test ends."""


@dataclass(frozen=True, slots=True)
class ColumnChoices:
    """The options as typed; what is None is inferred. `table` is of a database; `spelled` writes an argument as its user does."""

    entity: str | None = None
    time: str | None = None
    label: str | None = None
    table: str | None = None
    spelled: Callable[[str], str] = as_option


@dataclass(frozen=True, slots=True)
class _Events:
    """Events with what was chosen of them."""

    source: EventSource
    key: ChosenColumn
    time: ChosenColumn
    known: ChosenColumn | None
    label: tuple[EventColumn, LabelValues] | None
    columns: Sequence[EventColumn]
    spelled: Callable[[str], str]

    @classmethod
    def of(cls, source: EventSource, choices: ColumnChoices) -> _Events:
        """Raises: EventsUnreadable, BadEventColumn."""
        columns = EventChoices.of(source, choices.spelled)
        time = columns.time(choices.time)
        label = None if choices.label is None else columns.label(choices.label)
        key = columns.key(choices.entity, label[0].name if label else None)
        return cls(source, key, time, columns.known_since(time.column), label, columns.columns, choices.spelled)

    @property
    def features(self) -> list[EventColumn]:
        return [column for column in self._others if column.dtype in _FEATURES and not column.numbers_rows]

    @property
    def left_out(self) -> list[EventColumn]:
        return [column for column in self._others if column not in self.features]

    @property
    def _others(self) -> list[EventColumn]:
        taken = [self.key.column, self.time.column, *([self.known.column] if self.known else [])]
        taken += [self.label[0]] if self.label else []
        return [column for column in self.columns if column not in taken]


def make_from_events(folder: Path, place: str, choices: ColumnChoices) -> ProjectDraft:
    """Write a project over the events of files or a database, which stay where they are.

    Raises: BadProjectName, FolderNotEmpty, EventsUnreadable, BadEventColumn, BadDatabaseUrl, TableNotChosen.
    """
    project = feast_name(folder.name)
    require_free(folder)
    place_of_events = event_database(place, project, choices.table) or event_files(place)
    if choices.table is not None and isinstance(place_of_events, EventFiles):
        raise EventsUnreadable(place, "a table is of a database, and this is none")
    with place_of_events.opened() as source:
        events = _Events.of(source, choices)
        draft, values = _drafted(folder, events, place_of_events)
    write_project(folder, draft, "tables_from_events.py", values)
    return draft


def _drafted(
    folder: Path, events: _Events, place: EventFiles | EventDatabase
) -> tuple[ProjectDraft, Mapping[str, object]]:
    key, time = events.key.column, events.time.column
    used = set(_RESERVED)
    names = {column.name: unused(column.name, used) for column in events.columns}
    view = unused(events.source.stem, used)
    entity = unused(identifier(key.name).removesuffix("_id"), used - {names[key.name]})  # it may be called as its key
    rows, incomplete, first, last, example = _extent(events)
    database = place.variable if isinstance(place, EventDatabase) else ""
    model = None if events.label is None else _model(events, names[events.label[0].name], first, last)
    draft = ProjectDraft(
        name=folder.name,
        project=feast_name(folder.name),
        story=f"The last values of each {entity}, from the events of {events.source.title.rpartition('/')[2]}.",
        entity=EntityDraft(entity, names[key.name], key.dtype.upper(), json.dumps(example), _key_notes(events)),
        view=view,
        features=[FeatureDraft(names[c.name], c.dtype, f"Of the last event: {c.name}.") for c in events.features],
        ttl_days=0,
        request_unix=last + 1,
        model=model,
        known_since=events.known is not None,
        database=database,
        notes=list(_notes(events, rows, incomplete)),
    )
    values = {
        "columns": [f"{column.value} AS {names[column.name]}" for column in (key, *events.features)],
        "time": time.time,
        "time_column": time.sql,
        "known": events.known.column.time if events.known else "",
        "key": key.sql,
        "label": events.label[1].sql if events.label else "",
        "label_meaning": events.label[1].meaning if events.label else "",
        "source": place.written(folder) if isinstance(place, EventFiles) else place.relation,
        "spine": f"{view}_labels",
        "questions": list(_questions(events)),
        "from_events": True,
    }
    return draft, values


def _extent(events: _Events) -> tuple[int, int, int, int, object]:
    """How many rows there are, how many of them without key or time, the seconds of the first and last time, and the last key."""
    key, time = events.key.column, events.time.column
    seconds = f"CAST(FLOOR(EXTRACT(EPOCH FROM {{}}({time.time}))) AS BIGINT)"
    complete = f"{key.sql} IS NOT NULL AND {time.sql} IS NOT NULL"
    incomplete_rows = f"count(*) FILTER (WHERE NOT ({complete}))"
    measures = ["count(*)", incomplete_rows, seconds.format("min"), seconds.format("max")]
    rows, incomplete, first, last = map(whole_number, events.source.all(measures))
    if incomplete == rows:
        raise EventsUnreadable(events.source.title, f"no row has both {key.name!r} and {time.name!r}")
    (example,) = events.source.all([key.value], f"WHERE {complete} ORDER BY {time.time} DESC, 1 LIMIT 1")
    return rows, incomplete, first, last, example if key.dtype == "String" else whole_number(example)


def _model(events: _Events, label: str, first: int, last: int) -> ModelDraft:
    time = events.time.column
    seconds = f"CAST(FLOOR(EXTRACT(EPOCH FROM {time.time})) AS BIGINT)"
    shares = [f"percentile_disc({share}) WITHIN GROUP (ORDER BY {seconds})" for share in _SHARES[1:-1]]
    found = map(whole_number, events.source.sampled(shares, f"WHERE {time.sql} IS NOT NULL"))
    ends = [first, *found, last]
    if any(earlier >= later for earlier, later in pairwise(ends)):
        reason = f"the times of {time.name!r} are too few, or too close, to divide into training, validation and test"
        option, label = events.spelled("time"), events.spelled("label")
        mend = f"choose another column by {option}, or leave {label} out until there are more events"
        raise BadEventColumn(events.source.title, option, reason, mend)
    times = [datetime.fromtimestamp(at, UTC) for at in (first - 1, *ends[1:3], last + 1)]
    boundaries = [f"datetime({at.year}, {at.month}, {at.day}, {at.hour}, {at.minute}, {at.second})" for at in times]
    question = "How long after an event is its label known? At once is a guess; mend it, as timedelta(days=30)."
    return ModelDraft(label, label, timedelta(0), boundaries, question)


def _key_notes(events: _Events) -> list[str]:
    key, others = events.key.column, events.key.others
    notes = [f"Its key is column {key.name!r} of the events: about {key.distinct:,} values."]
    if others:
        other = identifier(others[0]).removesuffix("_id")
        notes.append(
            f"Is an event of a {other} too? {_listed(others)} could be the key as well: an entity, a view and a table of its own "
            "give features by that key (`--entity` chooses one)."
        )
    return notes


def _notes(events: _Events, rows: int, incomplete: int) -> Iterator[str]:
    """What was inferred and why, as it is printed."""
    key, time = events.key, events.time
    yield f"{rows:,} events of {events.source.title}."
    zone = "; times without a zone are UTC" if time.column.naive or time.column.text_time else ""
    yield f"Their time is `{time.column.name}` ({time.column.kind}){zone}.{_others(time.others, events.spelled('time'))}"
    yield (
        f"Their key is `{key.column.name}`: about {key.column.distinct:,} values that come again."
        f"{_others(key.others, events.spelled('entity'))}"
    )
    if events.known:
        yield (
            f"They are known since `{events.known.column.name}`, which is never before their time. Training and serving use "
            "a row from then on."
        )
    if incomplete:
        yield f"{incomplete:,} rows without a key or a time are left out."
    if events.label and events.label[1].meaning:
        yield f"The label `{events.label[0].name}`: {events.label[1].meaning}"
    if events.left_out:
        yield f"Left out: {_listed([column.name for column in events.left_out])}; tables.py says why."


def _questions(events: _Events) -> Iterator[str]:
    """What could not be inferred of the table, as comments."""
    time, known = events.time, events.known
    if time.column.naive or time.column.text_time:
        yield "In which zone are the times without one? UTC is a guess: write `AT TIME ZONE 'Europe/Berlin'` if they are local."
    if time.others and not known:
        yield f"Is an event known later than it happens, as {_listed(time.others)} may say? Then select that `AS created_timestamp`"
        yield 'and give the view\'s source `created_timestamp_column="created_timestamp"`.'
    if known:
        yield (
            f"An event is known since {known.column.name!r}: it is called so and never before {time.column.name!r}. Is that right?"
        )
    for column in events.left_out:
        why = "it numbers the rows" if column.dtype in _FEATURES else f"it is {column.kind}"
        yield f"Column {column.name!r} is left out, since {why}; do you need it?"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _others(names: Sequence[str], option: str) -> str:
    return f" It could be {_listed(names)} too: `{option}` says so." if names else ""
