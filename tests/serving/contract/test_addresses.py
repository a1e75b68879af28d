from __future__ import annotations

from pathlib import Path

import pytest

from serving.contract.addresses import embedded_redis_url, known_redis_url, masked
from serving.contract.folders import Folders


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
    "url", ["redis://h", "rediss://u:p@h/1", "unix:///s", "redis+cluster://h:1", "rediss+cluster://h"]
)
def test_known_schemes_are_taken_as_they_are(url: str):
    assert known_redis_url(url) == url


@pytest.mark.parametrize("url", ["", "host:6379", "http://h", "redis:h", "memcached://h"])
def test_others_are_refused_with_what_is_known(url: str):
    with pytest.raises(ValueError, match="redis://"):
        known_redis_url(url)


def test_the_embedded_server_has_one_address_per_state_folder():
    folders = Folders(Path("/a b"))
    assert embedded_redis_url(folders) == "unix:///a%20b/redis/valkey.sock"
