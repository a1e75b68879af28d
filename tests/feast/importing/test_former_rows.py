"""Entity keys as Feast serializes them."""

from __future__ import annotations

import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from skewless.feast.importing.former_rows import FeastKeyParser


@pytest.mark.filterwarnings("ignore:Serialization of entity key")
def test_keys_of_versions_two_and_three_are_parsed():
    names = [("a",), ("ab",), ("a", "b"), ()]
    parser = FeastKeyParser(names)
    values = {
        "a": Value(int64_val=-7),
        "ab": Value(string_val="ü"),
        "b": Value(bytes_val=b"\x02\0"),
        "__dummy_id": Value(string_val=""),
    }
    plain = {"a": -7, "ab": "ü", "b": b"\x02\0", "__dummy_id": ""}
    for some in names:
        keys = some or ("__dummy_id",)
        for version in (2, 3):
            key = EntityKey(join_keys=keys, entity_values=[values[name] for name in keys])
            parsed = parser.parse(serialize_entity_key(key, version) + b"cabs")
            assert parsed is not None
            assert (parsed.names, parsed.values, parsed.project) == (keys, tuple(plain[name] for name in keys), "cabs")
    for number in (Value(int32_val=3), Value(unix_timestamp_val=3)):
        key = EntityKey(join_keys=["a"], entity_values=[number])
        assert parser.parse(serialize_entity_key(key, 2) + b"cabs").values == (3,)
    assert parser.parse(b"") is parser.parse(b"\x02\0\0\0a") is parser.parse(b"\x02\0\0\0zz") is None
