"""A data subject, identified by join keys: matches it with columns, entity keys and events, whatever their types."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.contract.columns import Flags
from skewless.contract.errors import SkewlessError
from skewless.contract.timestamps import SECOND_US, UtcMicros, parse_rfc3339
from skewless.offline.values.column_types import plain_type
from skewless.runtime.errors import did_you_mean

_COST = {"n": 1 << 14, "r": 8, "p": 1}
ALGORITHM = "scrypt n=16384 r=8 p=1"


@dataclass(eq=False)
class SubjectMissing(SkewlessError):
    """An erasure that does not name a subject."""

    entity: str
    reason: str

    def __str__(self) -> str:
        return f"{self.entity!r} does not name a subject to erase: {self.reason}; name its join keys, as customer_id=42"


@dataclass(frozen=True, slots=True)
class ErasureSubject:
    """Join keys and their values as text: strings, integers, RFC 3339 times, bytes in base64."""

    keys: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, pairs: Sequence[str]) -> ErasureSubject:
        """The subject with all of these `name=value` pairs. Raises: SubjectMissing."""
        keys: dict[str, str] = {}
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not (name and equals and value):
                raise SubjectMissing(pair, "it is not name=value")
            if keys.setdefault(name, value) != value:
                raise SubjectMissing(pair, "it names that key twice")
        if not keys:
            raise SubjectMissing("", "no key is named")
        return cls(tuple(sorted(keys.items())))

    def check(self, known: Mapping[str, Collection[str]]) -> None:
        """Refuse a subject with names that are no known join keys, or with values that are none of a key's known types.

        Raises: SubjectMissing.
        """
        for name in sorted(self.names.difference(known)):
            existing = f"there are {', '.join(sorted(known))}" if known else "there are none (`skewless apply`)"
            raise SubjectMissing(
                name, f"no feature view has that join key; {did_you_mean(name, known, '{}')}{existing}"
            )

        for name, value in self.keys:
            if not any(_could_be(value, dtype) for dtype in known[name]):
                raise SubjectMissing(
                    f"{name}={value}", f"the join key is {' or '.join(sorted(known[name]))}, and {value!r} is none"
                )

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.keys)

    def digest(self, salt: bytes) -> str:
        """The subject's scrypt hash for a receipt: a guess can be checked against it, slowly, but it does not reveal the keys."""
        text = "\n".join(f"{name}={value}" for name, value in self.keys)
        return hashlib.scrypt(text.encode(), salt=salt, dklen=32, **_COST).hex()

    def rows(self, table: pa.Table, columns: Mapping[str, Sequence[str]]) -> Flags:
        """Which rows are about the subject: for each key, any of its `columns` has the subject's value."""
        about = np.ones(len(table), bool)
        for name, value in self.keys:
            matches = np.zeros(len(table), bool)
            for column in columns.get(name, ()):
                if column in table.column_names:
                    matches |= _equal(table.column(column), value)
            about &= matches
        return about

    def is_row(self, row: Mapping[str, object]) -> bool:
        """Whether a JSON row, or the join keys of an entity, are about the subject."""
        return all(name in row and same_value(row[name], value) for name, value in self.keys)


def same_value(stored: object, text: str) -> bool:
    """Whether a stored value of a join key equals the text; times in entity keys are whole seconds."""
    if isinstance(stored, bool) or stored is None:
        return False
    if isinstance(stored, int):
        return stored == _integer(text) or stored * SECOND_US == _time(text)
    if isinstance(stored, bytes):
        return stored == _bytes(text)
    return stored == text or (isinstance(stored, str) and _time(stored) is not None and _time(stored) == _time(text))


def _equal(column: pa.ChunkedArray, text: str) -> Flags:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    column = column.cast(plain_type(column.type))
    kind = column.type
    value: object = None
    if pa.types.is_integer(kind):
        value = _integer(text)
    elif (pa.types.is_floating(kind) or pa.types.is_decimal(kind)) and (number := _integer(text)) is not None:
        # A key that is declared as an integer may be stored so; of greater ones a float stands for several.
        value = Decimal(number) if pa.types.is_decimal(kind) else float(number) if abs(number) < 2**53 else None
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
        scalar = pa.scalar(value, kind)
    except (pa.ArrowInvalid, OverflowError):
        return np.zeros(len(column), bool)
    equal: Flags = pc.fill_null(pc.equal(column, scalar), fill_value=False).to_numpy()
    return equal


def _could_be(text: str, dtype: str) -> bool:
    """Whether a join key of this type may have the value."""
    if dtype in ("Int32", "Int64"):
        number, limit = _integer(text), 1 << (31 if dtype == "Int32" else 63)
        return number is not None and -limit <= number < limit
    if dtype == "UnixTimestamp":
        return _time(text) is not None or _integer(text) is not None
    return dtype != "Bytes" or _bytes(text) is not None


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
