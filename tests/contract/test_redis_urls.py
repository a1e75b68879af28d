from __future__ import annotations

from pathlib import Path

import pytest

from skewless.contract.redis_urls import SentinelAddress, embedded_redis_url, known_redis_url, masked
from skewless.contract.state_folder import StateFolders


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://user:secret@host/0", "redis://user:***@host/0"),
        ("redis://:s@cr@t@host/0", "redis://:***@host/0"),
        ("unix:///run/v.sock?password=secret&db=1", "unix:///run/v.sock?password=***&db=1"),
        (
            "postgresql+psycopg://u:s%2Fe@h:1/db?sslpassword=x",
            "postgresql+psycopg://u:***@h:1/db?sslpassword=***",
        ),
        ("sqlite:////a/b@c:d.db", "sqlite:////a/b@c:d.db"),
    ],
)
def test_passwords_are_masked(url: str, shown: str):
    assert masked(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "rediss://u:p@h/1",
        "unix:///s",
        "redis+cluster://h:1",
        "rediss+cluster://h",
        "redis+sentinel://h,i:1/s",
    ],
)
def test_known_schemes_are_taken_as_they_are(url: str):
    assert known_redis_url(url) == url


@pytest.mark.parametrize("url", ["", "host:6379", "http://h", "redis:h", "memcached://h"])
def test_others_are_refused_with_what_is_known(url: str):
    with pytest.raises(ValueError, match="redis://"):
        known_redis_url(url)


def test_the_embedded_server_has_one_address_per_state_folder():
    folders = StateFolders(Path("/a b"))
    assert embedded_redis_url(folders) == "unix:///a%20b/redis/valkey.sock"


def test_sentinels_are_told_from_the_primary():
    url = "rediss+sentinel://me:p%40ss@a,b:1/features/3?sentinel_password=other&ssl_cert_reqs=none"
    known = SentinelAddress.parse(url)
    assert known == SentinelAddress(
        (("a", 26379), ("b", 1)), "features", "rediss://me:p%40ss@features/3?ssl_cert_reqs=none", "other"
    )
    assert "other" not in masked(url)
    assert "p%40ss" not in masked(url)
    assert SentinelAddress.parse("redis+sentinel://[::1]:1/s") == SentinelAddress(
        (("::1", 1),), "s", "redis://s/0", None
    )
    assert SentinelAddress.parse("redis://h") is None
    for nameless in ("redis+sentinel://h:1", "redis+sentinel:///s"):
        with pytest.raises(ValueError, match="names no service"):
            known_redis_url(nameless)
