"""A data subject: whom rows are about, by join keys; found in columns, entity keys and events whatever their types."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.contract.admission import Flags
from skewless.contract.errors import SkewlessError
from skewless.contract.timestamps import SECOND_US, UtcMicros, parse_rfc3339
from skewless.runtime.errors import did_you_mean

_COST = {"n": 1 << 14, "r": 8, "p": 1}
ALGORITHM = "scrypt n=16384 r=8 p=1"


@dataclass(eq=False)
class SubjectMissing(SkewlessError):
    """An erasure does not say whom to erase."""

    given: str
    reason: str

    def __str__(self) -> str:
        return f"{self.given!r} names nobody to erase: {self.reason}; write --entity customer_id=42"


@dataclass(frozen=True, slots=True)
class ErasureSubject:
    """Join keys and their values as somebody typed them: texts, whole numbers, RFC 3339 times, bytes in base64."""

    keys: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, given: Sequence[str]) -> ErasureSubject:
        """Of `name=value` pairs; the subject is who has all of them. Raises: SubjectMissing."""
        keys: dict[str, str] = {}
        for pair in given:
            name, equals, value = pair.partition("=")
            if not (name and equals and value):
                raise SubjectMissing(pair, "it is no name=value")
            if keys.setdefault(name, value) != value:
                raise SubjectMissing(pair, "that name is given twice")
        if not keys:
            raise SubjectMissing("", "no --entity is given")
        return cls(tuple(sorted(keys.items())))

    def check(self, known: Collection[str]) -> None:
        """Refuse names that are none of the join keys that there are. Raises: SubjectMissing."""
        for name in sorted(self.names.difference(known)):
            there = f"there are {', '.join(sorted(known))}" if known else "there are none (`skewless apply`)"
            raise SubjectMissing(name, f"no feature view has that join key; {did_you_mean(name, known, '{}')}{there}")

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.keys)

    def digest(self, salt: bytes) -> str:
        """What a receipt knows the subject by: to be checked against a guess, slowly, and not to be read."""
        text = "\n".join(f"{name}={value}" for name, value in self.keys)
        return hashlib.scrypt(text.encode(), salt=salt, dklen=32, **_COST).hex()

    def rows(self, table: pa.Table, columns: Mapping[str, Sequence[str]]) -> Flags:
        """Which rows are about the subject, where any of a key's `columns` may hold it."""
        found = np.ones(len(table), bool)
        for name, value in self.keys:
            held = np.zeros(len(table), bool)
            for column in columns.get(name, ()):
                if column in table.column_names:
                    held |= _equal(table.column(column), value)
            found &= held
        return found

    def is_row(self, row: Mapping[str, object]) -> bool:
        """Whether a row in JSON, or the keys of an entity, are about the subject."""
        return all(name in row and same(row[name], value) for name, value in self.keys)


def same(held: object, text: str) -> bool:
    """Whether a value of a key is the one that was typed; times of entity keys are in whole seconds."""
    if isinstance(held, bool) or held is None:
        return False
    if isinstance(held, int):
        return held == _integer(text) or held * SECOND_US == _time(text)
    if isinstance(held, bytes):
        return held == _bytes(text)
    return held == text or (isinstance(held, str) and _time(held) is not None and _time(held) == _time(text))


def _equal(column: pa.ChunkedArray, text: str) -> Flags:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    value: object = None
    if pa.types.is_integer(kind):
        value = _integer(text)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        value = text
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        value = _bytes(text)
    elif pa.types.is_timestamp(kind):
        column, kind, value = (
            column.cast(pa.timestamp("us", tz=kind.tz), safe=False).cast(pa.int64()),
            pa.int64(),
            _time(text),
        )
    if value is None:
        return np.zeros(len(column), bool)
    try:
        wanted = pa.scalar(value, kind)
    except (pa.ArrowInvalid, OverflowError):
        return np.zeros(len(column), bool)
    plain = column.cast(kind) if pa.types.is_dictionary(column.type) else column
    found: Flags = pc.fill_null(pc.equal(plain, wanted), fill_value=False).to_numpy()
    return found


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _time(text: str) -> UtcMicros | None:
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None


def _bytes(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
