"""What a DAG file may say of its project's DAGs, checked when the file is read.

Held by tests/airflow/test_project_dags.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk import CronPartitionTimetable, CronTriggerTimetable, PartitionedAtRuntime
from skewless.airflow.pools import POOLS
from skewless.contract.errors import SkewlessError

DAY_KEY, HOUR_KEY = "%Y-%m-%d", "%Y-%m-%dT%H"
_PRESETS = {"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}
_BY_DAY_OR_HOUR = re.compile(r"\d+ (\d+|\*) \* \* \*")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(eq=False)
class BadTimetables(SkewlessError):
    """A DAG file asks for DAGs that cannot be made; `option` is the argument of `timetables` that is wrong."""

    file: str
    option: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: timetables({self.option}=...) {self.reason}"


@dataclass(frozen=True, slots=True)
class DagOptions:
    """The options of `skewless.airflow.timetables`, which says what they mean. `file` is the DAG file, for errors.

    Raises: BadTimetables.
    """

    file: str
    include: Collection[str] = ()
    exclude: Collection[str] = ()
    prefix: str | None = None
    schedules: Mapping[str, object] = field(default_factory=dict)
    pools: Mapping[str, str] = field(default_factory=dict)
    tags: Collection[str] = ()
    default_args: Mapping[str, Any] = field(default_factory=dict)
    start_date: datetime | None = None
    catchup: bool = False
    state: Path | None = None

    def __post_init__(self) -> None:
        for name in ("include", "exclude", "tags"):
            object.__setattr__(self, name, self._texts(name))
        for name in ("schedules", "pools", "default_args"):
            if not isinstance(getattr(self, name), Mapping):
                raise BadTimetables(self.file, name, f"is {getattr(self, name)!r}; give a dict")
        self.confirm("pools", self.pools, POOLS)
        if self.prefix is not None and not (isinstance(self.prefix, str) and _NAME.fullmatch(self.prefix)):
            raise BadTimetables(self.file, "prefix", f"is {self.prefix!r}; ids have letters, digits, `_`, `.` and `-`")
        if self.catchup and self.start_date is None:
            raise BadTimetables(self.file, "catchup", "needs a start_date, from which on runs are made up for")
        if self.state is not None and not Path(self.state).is_absolute():
            raise BadTimetables(self.file, "state", f"is {str(self.state)!r}; give an absolute path")

    def confirm(self, option: str, names: Iterable[str], known: Iterable[str]) -> None:
        """Refuse names that an option cannot have. Raises: BadTimetables."""
        from skewless.runtime.errors import did_you_mean

        known = list(known)
        for name in names:
            if name not in known:
                meant = did_you_mean(str(name), known)
                raise BadTimetables(self.file, option, f"names {name!r}; {meant}there are {', '.join(known)}")

    def chosen(self, kind: str, name: str) -> bool:
        """Whether the DAG of a kind, and with a `name` of its own where there is one for each model, is wanted."""
        return (not self.include or not {kind, name}.isdisjoint(self.include)) and {kind, name}.isdisjoint(self.exclude)

    def schedule(self, kind: str, name: str, default: object) -> Any:  # noqa: ANN401 - whatever Airflow takes
        """The schedule of a DAG: what the file says, else the default. A cron text becomes a timetable of the default's kind.

        Raises: BadTimetables.
        """
        chosen = self.schedules.get(name, self.schedules.get(kind, default))
        by_clock = isinstance(default, CronTriggerTimetable) and not isinstance(default, CronPartitionTimetable)
        if chosen is None and not by_clock:
            return PartitionedAtRuntime()  # takes a partition key, which Airflow refuses for a DAG without a schedule
        if not isinstance(chosen, str):
            return chosen
        cron = _PRESETS.get(chosen, chosen)
        if by_clock:
            return CronTriggerTimetable(cron, timezone="UTC", interval=default.interval)
        by = _BY_DAY_OR_HOUR.fullmatch(cron)
        if by is None:
            raise BadTimetables(
                self.file,
                "schedules",
                f"gives {kind} {chosen!r}; its runs are for a day or an hour: give a cron text as '30 2 * * *' or "
                "'5 * * * *', None to run it by hand, or a timetable of Airflow's",
            )
        at_once = getattr(default, "run_immediately", False) is True
        return partitions(cron, HOUR_KEY if by.group(1) == "*" else DAY_KEY, at_once=at_once)

    def _texts(self, name: str) -> tuple[str, ...]:
        value = getattr(self, name)
        texts = (value,) if isinstance(value, str) else tuple(value)
        if not all(isinstance(text, str) for text in texts):
            raise BadTimetables(self.file, name, f"is {value!r}; give a list of texts")
        return texts


def partitions(cron: str, key_format: str, *, at_once: bool = False) -> CronPartitionTimetable:
    """A run for each full day or hour (UTC) that is over; with `at_once` for the last one as soon as the DAG is unpaused."""
    return CronPartitionTimetable(cron, timezone="UTC", run_offset=-1, run_immediately=at_once, key_format=key_format)
