from __future__ import annotations

import pytest

from serving.contract.errors import UnsupportedType
from serving.contract.types import NAMES, type_numbered, value_type


@pytest.mark.parametrize("name", NAMES)
def test_a_type_is_the_one_of_feast(name):
    from feast import types
    from feast.types import PrimitiveFeastType, from_feast_to_pyarrow_type

    kind = value_type(name)
    of_feast: PrimitiveFeastType = getattr(types, name)
    assert of_feast.to_value_type().value == kind.number
    assert type_numbered(kind.number) is kind
    if name not in {"Bytes", "UnixTimestamp"}:  # Feast has no Arrow type for bytes; its times may be coarser
        assert from_feast_to_pyarrow_type(of_feast) == kind.arrow
    assert kind.width == (4 if kind.text else kind.numpy.itemsize)


def test_an_unknown_type_is_named():
    with pytest.raises(UnsupportedType, match=r"'f'.*'Json'"):
        value_type("Json", feature="f")
    with pytest.raises(UnsupportedType, match=r"'f'.*99"):
        type_numbered(99, feature="f")
