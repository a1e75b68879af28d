from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace as but

from skewless.contract.plan import Field, JoinKey
from skewless.definitions.recorded_views import decode_plan, decode_view, definition_digest, encode_view, record_of
from skewless.definitions.stored_names import StoredNames
from skewless.offline.tables.object_storage import CredentialSource, RemoteTable
from tests.definitions.view_pool import DATA, POOL, SPEND, compiled

AT = datetime(2026, 1, 1, tzinfo=UTC)
RENAMED, WIDER = POOL[1], POOL[3]


def names(*definitions: tuple[int, str]) -> StoredNames:
    """Definitions of the pool by number, and the names that they are stored under; oldest first."""
    views = [compiled(but(POOL[number], stored_as=name)) for number, name in definitions]
    return StoredNames.of_records(record_of(view, DATA, AT + timedelta(n)) for n, view in enumerate(views))


def test_a_definition_is_its_content():
    assert len({definition_digest(view) for view in POOL}) == len(POOL)
    alias = but(SPEND, name="mine", stored_as="spend@12345678", join_keys=(JoinKey("buyer", "customer", "Int64"),))
    assert definition_digest(alias) == definition_digest(SPEND)


def test_what_is_recorded_is_read_on_a_machine_with_another_data_folder():
    view = compiled(SPEND, expect_unique="true")
    there = decode_view(encode_view(view, DATA), Path("/elsewhere"))
    assert there == replace(view, source=replace(view.source, path=Path("/elsewhere/spend")))
    outside = compiled(SPEND, table="/mnt/spend")
    assert decode_view(encode_view(outside, DATA), Path("/elsewhere")) == outside
    assert decode_plan(encode_view(view, DATA)) == SPEND


def test_the_address_of_a_table_in_object_storage_is_recorded_and_no_secret():
    keys = CredentialSource("env", "LAKE", params=(("region", "eu-west-1"),))
    view = compiled(SPEND)
    remote = replace(
        view, source=replace(view.source, remote=RemoteTable("s3://lake/spend", "http://minio:9000", keys))
    )
    assert decode_view(encode_view(remote, DATA), DATA) == remote


def test_without_records_a_view_has_its_own_name():
    assert StoredNames().of(SPEND) is SPEND


def test_each_definition_finds_its_own_name():
    known = names((0, "spend"), (1, "spend@00000001"))
    assert known.of(SPEND).stored_as == "spend"
    assert known.of(RENAMED).stored_as == "spend@00000001"
    assert known.of(but(RENAMED, stored_as="spend@00000001")).stored_as == "spend@00000001"


def test_a_definition_that_was_recorded_twice_has_its_latest_name():
    assert names((0, "spend"), (1, "spend"), (0, "spend@00000001")).of(SPEND).stored_as == "spend@00000001"


def test_a_definition_that_nobody_recorded_shares_no_field_with_one_that_cannot_be_read_in_its_rows():
    known = names((0, "spend"))
    assert known.of(WIDER).stored_as == "spend", "who reads the old one reads this too"
    digest = definition_digest(RENAMED)
    assert known.of(RENAMED).stored_as == f"spend@{digest[:8]}"
    assert names((0, "spend"), (2, f"spend@{digest[:8]}")).of(RENAMED).stored_as == f"spend@{digest[:9]}"


def test_versions_of_feast_are_told_apart():
    known = names((0, "spend"))
    assert known.of(but(SPEND, stored_as="spend@v1")).stored_as == "spend@v1"


def test_a_name_whose_rows_are_gone_is_free():
    gone = replace(record_of(compiled(SPEND), DATA, AT), removed_at=AT)
    assert StoredNames.of_records([gone]).of(RENAMED).stored_as == "spend"


@pytest.mark.parametrize("field", [Field("amount", "Float32"), Field("total", "Float64")])
def test_another_feature_is_another_definition(field: Field):
    assert definition_digest(but(SPEND, fields=(field, *SPEND.fields[1:]))) != definition_digest(SPEND)
