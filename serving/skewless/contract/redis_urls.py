"""Redis URLs: parsing, and masking for logs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from skewless.contract.state_folder import StateFolders

SENTINEL = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", *SENTINEL)
_SENTINEL_PORT = 26_379
_SENTINEL_PASSWORD = "sentinel_password"  # noqa: S105 - the name of an option


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """The sentinels that know the primary: `redis+sentinel://[user:password@]host[:port][,host[:port]...]/service[/db]`.

    `url` is the primary's, as if it were on a host of the service's name. `password` is that of the sentinels
    themselves (the option `sentinel_password`).
    """

    hosts: tuple[tuple[str, int], ...]
    service: str
    url: str
    password: str | None

    @classmethod
    def parse(cls, url: str) -> SentinelAddress | None:
        """None where the URL names no sentinels. Raises: ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in SENTINEL:
            return None
        login, at, hosts = parts.netloc.rpartition("@")
        service, _, database = parts.path.strip("/").partition("/")
        if not service or not hosts:
            raise ValueError(f"it names no service: {parts.scheme}://host:port,host:port/service")
        options = dict(parse_qsl(parts.query))
        password = options.pop(_SENTINEL_PASSWORD, None)
        rest = f"/{database or 0}" + (f"?{urlencode(options)}" if options else "")
        primary = f"{SENTINEL[parts.scheme]}://{login}{at}{quote(service)}{rest}"
        return cls(tuple(map(_host, hosts.split(","))), service, primary, password)


def _host(text: str) -> tuple[str, int]:
    place = urlsplit(f"//{text}")
    return place.hostname or "", place.port or _SENTINEL_PORT


def embedded_redis_url(folders: StateFolders) -> str:
    """The URL of a state folder's embedded server."""
    return f"unix://{quote(str(folders.redis_socket))}"


def known_redis_url(url: str) -> str:
    """The URL itself. Raises: ValueError where its scheme is not supported, or a sentinel URL has no service."""
    if "://" not in url or urlsplit(url).scheme not in REDIS_SCHEMES:
        raise ValueError(f"its scheme is none of {', '.join(f'{known}://' for known in REDIS_SCHEMES)}")
    SentinelAddress.parse(url)
    return url


def masked(url: str) -> str:
    """The URL without its passwords, for logs and errors."""
    url = re.sub(r"(?<=[?&])(\w*password)=[^&#]*", r"\1=***", url)
    # Up to the last @, since a password may hold one by mistake.
    return re.sub(r"^([^:/?#]+://[^:/?#@]*):[^/?#]*@", r"\1:***@", url)
