"""Training windows: how long a model is trained, validated and tested, and the instants that follow from it.

It imports neither Feast nor Arrow: a project's `models.py` is imported by every command.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Self

from skewless.contract.errors import SkewlessError
from skewless.contract.timestamps import aware, midnight
from skewless.runtime.durations import BadDuration, duration, short
from skewless.runtime.errors import ascending

_NAMES = ("train", "validate", "test", "end")
_NO_GAP = timedelta(0)


@dataclass(eq=False)
class BadTrainingWindow(SkewlessError):
    """A text that does not give the lengths of the train, validation and test windows."""

    text: str

    def __str__(self) -> str:
        return f"{self.text!r} is not a valid window; give the lengths to train, validate and test, as 212d,30d,92d"


@dataclass(eq=False)
class BadWindows(SkewlessError):
    """Declared windows that cannot be used; `field` is train, validate, test or end."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"windows: {self.field} {self.reason}"


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """Three half-open windows of event time: train [start, validate), validate [validate, test), test [test, end).

    Raises: WindowOrder where they are not ascending.
    """

    start: datetime
    validate: datetime
    test: datetime
    end: datetime

    def __post_init__(self) -> None:
        ascending(start=self.start, validate=self.validate, test=self.test, end=self.end)

    @property
    def windows(self) -> dict[str, tuple[datetime, datetime]]:
        """The start and end of each window, by its name."""
        return {
            "train": (self.start, self.validate),
            "validate": (self.validate, self.test),
            "test": (self.test, self.end),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How long to train, validate and test. The windows follow each other, and the last one ends at the `--end` of a
    command, by default when the present UTC day began; `Windows.between` fixes them in time instead.

    Raises: BadWindows.
    """

    train: timedelta
    validate: timedelta
    test: timedelta
    end: datetime | None = None
    """When the last window ends (exclusive); None: when the command says."""

    def __post_init__(self) -> None:
        for name in _NAMES[:3]:
            length: object = getattr(self, name)
            if not isinstance(length, timedelta):
                raise BadWindows(
                    name, f"is {length!r}; give a timedelta, or fix the days with Windows.between(train=date(...), ...)"
                )
            if length <= _NO_GAP:
                raise BadWindows(name, f"is {length}, which is no time; give a positive timedelta")
        if self.end is not None:
            object.__setattr__(self, "end", _instant("end", self.end))

    @classmethod
    def between(
        cls, *, train: date | datetime, validate: date | datetime, test: date | datetime, end: date | datetime
    ) -> Self:
        """Windows that are fixed in time: train [train, validate), validate [validate, test), test [test, end). A date is
        the beginning of that UTC day; a naive time is UTC. Raises: BadWindows.
        """
        given = {"train": train, "validate": validate, "test": test, "end": end}
        instants = {name: _instant(name, value) for name, value in given.items()}
        for (earlier, begins), (later, ends) in pairwise(instants.items()):
            if begins >= ends:
                raise BadWindows(later, f"{given[later]} is not after {earlier}, {given[earlier]}")
        first, second, third, last = instants.values()
        return cls(train=second - first, validate=third - second, test=last - third, end=last)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The lengths in a text: 212d,30d,92d. Raises: BadTrainingWindow."""
        try:
            train, validate, test = map(duration, text.split(","))
            return cls(train=train, validate=validate, test=test)
        except (BadDuration, BadWindows, ValueError):
            raise BadTrainingWindow(text) from None

    def until(self, end: datetime, gap: timedelta = _NO_GAP) -> TimeSplit:
        """The windows that end at `end`. Each is `gap` longer than declared: that is how long it takes until a label is
        known, and rows whose label is not known by the end of their window take no part in training.
        """
        test = end - self.test - gap
        validate = test - self.validate - gap
        return TimeSplit(validate - self.train - gap, validate, test, end)

    def split(self, now: datetime, gap: timedelta = _NO_GAP) -> TimeSplit:
        """The fixed windows, or those that end when the UTC day of `now` began: see `until`."""
        if self.end is not None:
            return self.until(self.end)
        return self.until(midnight(now.astimezone(UTC).date()), gap)

    def __str__(self) -> str:
        lengths = ",".join(short(length) for length in (self.train, self.validate, self.test))
        return lengths if self.end is None else f"{lengths} until {self.end.isoformat()}"


def _instant(field: str, value: object) -> datetime:
    """A date or time as an aware UTC time. Raises: BadWindows."""
    if isinstance(value, datetime):
        return aware(value).astimezone(UTC)
    if isinstance(value, date):
        return midnight(value)
    raise BadWindows(field, f"is {value!r}; give a date, as date(2024, 2, 1), or a datetime")
