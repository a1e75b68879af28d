"""Feast's types as the contract spells them.

Held by tests/definitions/test_compiler.py.
"""

from __future__ import annotations

import json

from feast.field import Field as FeastField
from feast.types import Array, FeastType, Set, Struct

from skewless.contract.value_types import value_type


def dtype_of(field: FeastField) -> str:
    """The contract's name of a field's type. Raises: UnsupportedType."""
    return value_type(_spelling(field.dtype), feature=field.name).name


def _spelling(kind: FeastType) -> str:
    """Feast's type with the names of a struct's fields quoted, where Feast leaves them bare."""
    if isinstance(kind, Struct):
        return (
            f"Struct({{{', '.join(f'{json.dumps(name)}: {_spelling(inner)}' for name, inner in kind.fields.items())}}})"
        )
    if isinstance(kind, Array | Set):
        return f"{type(kind).__name__}({_spelling(kind.base_type)})"
    return str(kind)
