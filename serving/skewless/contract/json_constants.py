"""Where a body says NaN or Infinity, which JSON does not have but many encoders write."""

from __future__ import annotations

import json
from collections.abc import Iterator

from skewless.contract.errors import InvalidInput

_MARKS = (b"NaN", b"Infinity")


class _JsonConstant(str):
    """One of the words, where a number should be."""

    __slots__ = ()


def constants(body: bytes) -> tuple[InvalidInput, ...]:
    """Each NaN and Infinity in a body that is JSON but for them, with its pointer; none for any other body."""
    if not any(mark in body for mark in _MARKS):
        return ()
    try:
        found = tuple(_walk(json.loads(body, parse_constant=_JsonConstant)))
    except (ValueError, RecursionError):
        return ()
    return tuple(
        InvalidInput(pointer, f"{word} is no JSON; send null where there is no value") for pointer, word in found
    )


def escaped(name: str) -> str:
    """A name as one token of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _walk(parsed: object, pointer: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(parsed, _JsonConstant):
        yield pointer, parsed
    elif isinstance(parsed, dict):
        for name, value in parsed.items():
            yield from _walk(value, f"{pointer}/{escaped(name)}")
    elif isinstance(parsed, list):
        for index, value in enumerate(parsed):
            yield from _walk(value, f"{pointer}/{index}")
