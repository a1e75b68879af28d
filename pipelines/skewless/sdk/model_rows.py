"""Which rows a model's verb is about: a spine, however it is named, and windows of time; as given, else as the project
declares them.

Held by tests/sdk/test_model_verbs.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeGuard

from skewless.runtime.errors import EmptyWindow, SpineMismatch
from skewless.sdk.arguments import BadArgument, Instant, optional_instant
from skewless.sdk.frames import Rows, arrow_table

if TYPE_CHECKING:
    from skewless.project.declared_models import ModelDefaults
    from skewless.project.model import PromotionRule
    from skewless.project.project import ProjectContext
    from skewless.project.windows import TimeSplit
    from skewless.sdk.session import ProjectSession

Spine = str | Path | Rows
"""A frame; or the path of a Parquet file or folder, or of a CSV file; or the name of a table in the data folder."""
EVER = datetime(1700, 1, 1, tzinfo=UTC), datetime(2260, 1, 1, tzinfo=UTC)
"""The window of a frame's rows: all that nanoseconds can hold."""
_FRAME = "given-frame.parquet"
_GIVEN = "the given frame"


@dataclass(frozen=True, slots=True)
class GivenWindows:
    """Where the windows of a training begin and end, as given; None: as the model declares."""

    start: Instant | None = None
    validate: Instant | None = None
    test: Instant | None = None
    end: Instant | None = None


def split_of(session: ProjectSession, declared: ModelDefaults, given: GivenWindows) -> TimeSplit:
    """The windows of a training. Raises: WindowOrder, ModelNotDeclared, NoModelOfService, WindowsNotDeclared, BadInstant."""
    from skewless.project.windows import TimeSplit

    instants = {one.name: optional_instant(getattr(given, one.name)) for one in fields(given)}
    missing = [name for name, at in instants.items() if at is None]
    if missing:
        windows = declared.split(session.spelled(missing[0]), session.now(), instants["end"])
        instants = {name: at or getattr(windows, name) for name, at in instants.items()}
    return TimeSplit(**{name: at for name, at in instants.items() if at is not None})


def window_of(
    session: ProjectSession,
    declared: ModelDefaults,
    begins: Literal["start", "test"],
    window: tuple[Instant | None, Instant | None],
    arguments: tuple[str, str] = ("start", "end"),
) -> tuple[datetime, datetime]:
    """The window [start, end) as given by these arguments, else from where the model's windows begin, or its test window,
    to their end. Raises: as `split_of`.
    """
    from skewless.runtime.errors import ascending

    since, until = map(optional_instant, window)
    first, last = map(session.spelled, arguments)
    if since is None or until is None:
        windows = declared.split(first if since is None else last, session.now(), until)
        since, until = since or getattr(windows, begins), until or windows.end
    ascending(**{first: since, last: until})
    return since, until


def retraining_split(
    session: ProjectSession, declared: ModelDefaults, until: Instant | None, lengths: str | None
) -> TimeSplit:
    """The windows that end at `until`, with these lengths (as 212d,30d,92d) or the declared ones.

    Raises: BadTrainingWindow, ModelNotDeclared, WindowsNotDeclared, BadInstant.
    """
    from skewless.project.windows import Windows

    end = declared.fixed_end if until is None else optional_instant(until)
    windows = Windows.parse(lengths) if lengths else declared.windows(session.spelled("window"))
    return windows.split(session.now(), declared.gap) if end is None else windows.until(end, declared.gap)


def promotion_of(declared: ModelDefaults, margin: float | None, canary: float | None) -> PromotionRule:
    """The model's promotion rule with what was given; a `canary` of 0 is none. Raises: BadPromotionRule."""
    rule = declared.promotion
    share = rule.canary if canary is None else canary or None
    return replace(rule, margin=rule.margin if margin is None else margin, canary=share)


@contextmanager
def _named_as_given(path: Path) -> Iterator[None]:
    """Errors of the rows of a frame that lies in a file for a while name the frame."""
    try:
        yield
    except SpineMismatch as error:
        raise SpineMismatch(error.column, error.reason.replace(str(path), _GIVEN)) from error
    except EmptyWindow as error:
        raise replace(error, rows=_GIVEN) from error


def is_frame(spine: Spine | None) -> TypeGuard[Rows]:
    """Whether rows are given, and not the place of some."""
    return spine is not None and not isinstance(spine, str | Path)


def spine_window(
    session: ProjectSession,
    declared: ModelDefaults,
    begins: Literal["start", "test"],
    spine: Spine | None,
    window: tuple[Instant | None, Instant | None],
) -> tuple[datetime, datetime]:
    """The window of the rows that are meant: as given; else all of a frame, and of a table as the model declares.

    Raises: as `window_of`.
    """
    if is_frame(spine) and window == (None, None):
        return EVER
    return window_of(session, declared, begins, window)


@contextmanager
def spine_place(
    session: ProjectSession, work: ProjectContext, declared: ModelDefaults, spine: Spine | None
) -> Iterator[Path]:
    """The rows on disk, by default the model's spine; those of a frame for the length of the block, so that a frame is
    read, checked and joined as a file is. Raises: ModelNotDeclared, NoModelOfService, BadArgument.
    """
    argument, data = session.spelled("spine"), work.folders.data
    if spine is None:
        yield data / declared.spec(argument).spine
    elif isinstance(spine, str | Path):
        path = Path(spine).expanduser()
        yield data / path if not path.exists() and (data / path).exists() else path
    else:
        rows = arrow_table(spine, argument)
        if not len(rows):
            raise BadArgument(argument, "has no rows; nothing was written")
        with tempfile.TemporaryDirectory(prefix="skewless-") as folder:
            import pyarrow.parquet as pq

            path = Path(folder) / _FRAME
            pq.write_table(rows, path)
            with _named_as_given(path):
                yield path
