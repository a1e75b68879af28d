from skewless.contract.storage.part_files import FOLDED, part_name, part_time

NOW = 1_380_628_800_000_000


def test_names_tell_when_and_sort_between_days_and_what_is_new():
    assert part_time(part_name(NOW, "0123456789abcdef")) == NOW
    assert part_time("pushed-00000001-0123456789abcdef.parquet") is None
    assert "part-0.parquet" < FOLDED < part_name(NOW, "0123456789abcdef")
    assert part_name(NOW, "0123456789abcdef") > "day=2013-10-01"
