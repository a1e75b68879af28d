"""What who types `skewless push`, `stream` and `erase` is told."""

from __future__ import annotations

from tests.pipelines.cli.conftest import Shop, Skewless

UNKNOWN = "error: there is no online feature view 'peopel'; did you mean 'people'? there are cards, city, people\n"


def test_a_push_to_an_unknown_view_is_refused(market: Shop, skewless: Skewless):
    told = skewless("push", "peopel", "/dev/null", "--format", "json")
    assert (told.status, told.out, told.err) == (2, "", UNKNOWN)
    assert market.redis.dbsize() == 0
    assert not market.data.exists()
