import msgspec
import pytest

from skewless.contract.errors import NotPushable
from skewless.contract.storage.push_target import check_target, parse_target, target_entry, target_field
from tests.tables.pushed_view import TARGET


def test_a_target_survives_the_catalog():
    ((field, entry),) = target_entry(TARGET).items()
    assert field == target_field("cards") == b"target:cards"
    assert parse_target(entry) == TARGET


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"view": 1}', b"\xff"])
def test_what_another_version_wrote_is_none(data):
    assert parse_target(data) is None


def test_columns_are_the_tables():
    assert (TARGET.column("count"), TARGET.column("amount")) == ("n", "amount")


def test_a_shared_table_takes_no_rows():
    assert check_target(TARGET) is TARGET
    with pytest.raises(NotPushable, match="read by b, c too"):
        check_target(msgspec.structs.replace(TARGET, shared_with=("b", "c")))


def test_a_table_elsewhere_takes_no_rows():
    remote = msgspec.structs.replace(TARGET, remote="s3://bucket/cards")
    with pytest.raises(NotPushable, match="s3://bucket/cards, which is read only"):
        check_target(remote)
