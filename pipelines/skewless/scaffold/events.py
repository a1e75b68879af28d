"""The project that is made from a file of events: the last values of each entity, and the label of the next event."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from skewless.scaffold import events_file
from skewless.scaffold.draft import EntityDraft, FeatureDraft, ModelDraft, ProjectDraft
from skewless.scaffold.events_file import ROWS, BadEventColumn, EventColumn, EventsFile
from skewless.scaffold.names import feast_name, identifier
from skewless.scaffold.write import require_free, write_project

_RESERVED = {"event_timestamp", "created_timestamp", "last_event_unix", "request_unix", "days_since_last", "recency"}
_MODULES = {"entities", "features", "transforms", "services", "models", "tables", "request", "inputs"}
_CASTS = {"Int64": "BIGINT", "Float64": "DOUBLE", "Bool": "BOOLEAN", "String": "VARCHAR"}
_SHARES = (0.0, 0.7, 0.85, 1.0)
"""Of the events: where training, validation and test begin, and the test ends."""


@dataclass(frozen=True, slots=True)
class ColumnChoices:
    """The options as typed; what is None is inferred."""

    entity: str | None = None
    time: str | None = None
    label: str | None = None


def make_from_events(folder: Path, path: Path, choices: ColumnChoices) -> ProjectDraft:
    """Write a project over the events of a file or folder, which stays where it is.

    Raises: BadProjectName, FolderNotEmpty, EventsUnreadable, BadEventColumn.
    """
    project = feast_name(folder.name)
    require_free(folder)
    events = events_file.read(path)
    time, other_times = events.time(choices.time)
    label = None if choices.label is None else _label(events, choices.label)
    key, other_keys = events.entity(choices.entity, choices.label)
    used = set(_RESERVED | _MODULES)
    names = {column.name: _unused(column.name, used) for column in events.columns}
    others = [column for column in events.columns if column not in (key, time, label)]
    features = [column for column in others if column.dtype in _CASTS and not column.numbers_rows]
    skipped = [column for column in others if column not in features]
    view, entity = _unused(path.stem, used), _unused(identifier(key.name).removesuffix("_id"), used)
    example, last = _last(events, key, time)
    draft = ProjectDraft(
        name=folder.name,
        project=project,
        story=f"The last values of each {entity}, from the events of {path.name}.",
        entity=EntityDraft(entity, names[key.name], key.dtype.upper(), json.dumps(example)),
        view=view,
        features=[_feature(column, names[column.name]) for column in features],
        ttl_days=0,
        request_unix=last + 1,
        model=None if label is None else _model(events, time, names[label.name]),
        notes=_notes(events, (time, other_times), (key, other_keys)),
    )
    values = {
        "columns": [_selected(column, names[column.name]) for column in (key, *features)],
        "skipped": [f"Column {column.name!r} ({column.kind}) is left out; do you need it?" for column in skipped],
        "time": time.sql,
        "key": key.sql,
        "label": label.sql if label else "",
        "source": events_file.source(events.reader, _relative(events.pattern, folder)),
        "spine": f"{view}_labels",
        "from_files": True,
    }
    write_project(folder, draft, "tables_from_files.py", values)
    return draft


def _label(events: EventsFile, name: str) -> EventColumn:
    """Raises: BadEventColumn."""
    column = events.column(name, "--label")
    if column.dtype == "Bool":
        return column
    if column.dtype not in ("Int64", "Float64") or events.select(
        f"SELECT count(*) FROM {ROWS} WHERE {column.sql} NOT IN (0, 1)"  # noqa: S608 - the name is quoted
    ) != (0,):
        raise BadEventColumn(str(events.path), "--label", f"{name!r} holds other values than 0, 1, true and false")
    return column


def _last(events: EventsFile, key: EventColumn, time: EventColumn) -> tuple[object, int]:
    """The key of the last event, and its time in seconds since 1970."""
    complete = f"{key.sql} IS NOT NULL AND {time.sql} IS NOT NULL"
    value, seconds = events.select(
        f"SELECT {key.sql}, epoch({time.sql})::BIGINT FROM {ROWS} WHERE {complete} ORDER BY 2 DESC, 1 LIMIT 1"  # noqa: S608 - names are quoted
    )
    return value, int(str(seconds))


def _feature(column: EventColumn, name: str) -> FeatureDraft:
    return FeatureDraft(name, column.dtype, f"Of the last event: {column.name}.")


def _model(events: EventsFile, time: EventColumn, label: str) -> ModelDraft:
    quantiles = ", ".join(f"quantile_disc({time.sql}, {share})::TIMESTAMP" for share in _SHARES)
    found = events.select(f"SELECT {quantiles} FROM {ROWS}")  # noqa: S608 - the name is quoted
    times = [at.replace(microsecond=0, tzinfo=UTC) for at in found if isinstance(at, datetime)]
    if any(earlier >= later for earlier, later in pairwise(times)):
        reason = f"the times of {time.name!r} are too few, or too close, to divide into training, validation and test"
        raise BadEventColumn(str(events.path), "--time", reason)
    times[0] -= timedelta(seconds=1)
    times[3] += timedelta(seconds=1)
    boundaries = [f"datetime({at.year}, {at.month}, {at.day}, {at.hour}, {at.minute}, {at.second})" for at in times]
    question = "How long after an event is its label known? At once is a guess; mend it, as timedelta(days=30)."
    return ModelDraft(label, label, timedelta(0), boundaries, question)


def _notes(
    events: EventsFile, time: tuple[EventColumn, list[str]], key: tuple[EventColumn, list[str]]
) -> Sequence[str]:
    """What was inferred and why."""
    return [
        f"{events.rows:,} events of {events.path.name}.",
        f"Their time is `{time[0].name}` ({time[0].kind}); times without a zone are UTC.{_others(time[1], '--time')}",
        f"Their key is `{key[0].name}`: about {key[0].distinct:,} values that come again.{_others(key[1], '--entity')}",
    ]


def _others(names: list[str], option: str) -> str:
    return f" It could be {', '.join(f'`{name}`' for name in names)} too: `{option}` says so." if names else ""


def _selected(column: EventColumn, name: str) -> str:
    return f"{column.sql}::{_CASTS[column.dtype]} AS {name}"


def _unused(text: str, used: set[str]) -> str:
    name = identifier(text)
    while name in used:
        name += "_"
    used.add(name)
    return name


def _relative(pattern: str, folder: Path) -> str:
    """A path from the project's folder where both lie in one place, else the whole path."""
    parent = folder.resolve().parent
    return os.path.relpath(pattern, folder.resolve()) if Path(pattern).is_relative_to(parent) else pattern
