"""The window of a run: from its params, else its partition key, else its data interval; never from the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from skewless.contract.errors import SkewlessError

_WIDTHS = {"%Y-%m-%d": timedelta(days=1), "%Y-%m-%dT%H": timedelta(hours=1)}
"""Formats of partition keys, and the length of the partition that each names."""
_PARAMS = ("start", "end")


@dataclass(frozen=True, slots=True)
class RunWindow:
    """start <= t < end (UTC)."""

    start: datetime
    end: datetime

    @property
    def days(self) -> tuple[date, date]:
        """The UTC days that the window touches: the first, and the first after the last."""
        return self.start.date(), (self.end - timedelta(microseconds=1)).date() + timedelta(days=1)

    @property
    def folder(self) -> str:
        """The name of a folder for this window alone."""
        return f"{_compact(self.start)}--{_compact(self.end)}"

    def __str__(self) -> str:
        return f"[{self.start.isoformat()}, {self.end.isoformat()})"


@dataclass(eq=False)
class WindowMissing(SkewlessError):
    """A run has no window."""

    run: str
    reason: str

    def __str__(self) -> str:
        return (
            f"run {self.run!r} does not say which window it is for: {self.reason}; trigger it with the params start and "
            "end (UTC, as 2013-02-01T00:00:00Z), or with a partition key such as 2013-02-01 or 2013-02-01T05"
        )


def window_of(context: Mapping[str, Any]) -> RunWindow:
    """The window of the run whose task context this is. Raises: WindowMissing."""
    run = str(context.get("run_id"))
    params = {name: text for name in _PARAMS if (text := (context.get("params") or {}).get(name))}
    if params:
        return _from_params(run, params)
    if key := context.get("partition_key"):
        return _from_partition_key(run, str(key))
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is None or end is None:
        raise WindowMissing(run, "it has neither params nor a partition key nor a data interval")
    if start >= end:
        raise WindowMissing(
            run, f"its data interval is empty, {start.isoformat()} to {end.isoformat()}, as a cron timetable sets it"
        )
    return RunWindow(start.astimezone(UTC), end.astimezone(UTC))


def _from_params(run: str, params: Mapping[str, str]) -> RunWindow:
    if missing := [name for name in _PARAMS if name not in params]:
        raise WindowMissing(run, f"of the params start and end it lacks {missing[0]}")
    try:
        start, end = (datetime.fromisoformat(str(params[name])) for name in _PARAMS)
    except ValueError as error:
        raise WindowMissing(run, f"a param is no ISO 8601 time ({error})") from None
    window = RunWindow(*(at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC) for at in (start, end)))
    if window.start >= window.end:
        raise WindowMissing(run, f"its params name an empty window, {window}")
    return window


def _from_partition_key(run: str, key: str) -> RunWindow:
    for spelling, width in _WIDTHS.items():
        try:
            start = datetime.strptime(key, spelling).replace(tzinfo=UTC)
        except ValueError:
            continue
        if start.strftime(spelling) == key:
            return RunWindow(start, start + width)
    raise WindowMissing(run, f"its partition key {key!r} names neither a UTC day nor an hour")


def _compact(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%S}" + (f".{at.microsecond:06d}" if at.microsecond else "")
