"""RFC 3339: times as text, in requests and answers. Inside they are microseconds since 1970-01-01 UTC."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

import numpy as np

from skewless.contract.admission import Micros
from skewless.contract.timestamps import to_micros

_SECOND = 1_000_000
# What `fromisoformat` takes beyond RFC 3339 (weeks, missing parts) is refused; so is more than it can keep.
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def parse_instant(text: str) -> int:
    """Microseconds since 1970-01-01 UTC. Raises: ValueError, whose text tells the form."""
    if _RFC_3339.fullmatch(text):
        try:
            return to_micros(datetime.fromisoformat(text.upper()))
        except (ValueError, OverflowError):
            pass
    raise ValueError("must be a time as in RFC 3339 with at most 6 decimals, such as 2013-10-01T12:00:00Z")


@lru_cache(maxsize=16)
def instant_text(micros: int) -> str:
    """RFC 3339, UTC, with a Z; with 6 decimals where the seconds are not whole."""
    seconds, rest = divmod(micros, _SECOND)
    return f"{_second_text(seconds)}.{rest:06d}Z" if rest else f"{_second_text(seconds)}Z"


@lru_cache(maxsize=16)
def _second_text(seconds: int) -> str:
    return str(np.datetime64(seconds, "s"))


def instant_texts(times: Micros) -> list[str]:
    """`instant_text` of each."""
    return [text.removesuffix(".000000") + "Z" for text in np.datetime_as_string(times.view("M8[us]")).tolist()]
