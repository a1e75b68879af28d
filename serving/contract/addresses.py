"""Addresses of servers, as settings give them and as logs may show them."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from serving.contract.folders import Folders

REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")


def embedded_redis_url(folders: Folders) -> str:
    """Where the embedded server of a state folder listens."""
    return f"unix://{quote(str(folders.redis_socket))}"


def known_redis_url(url: str) -> str:
    """The URL itself. Raises: ValueError where its scheme is none that we speak."""
    if "://" not in url or urlsplit(url).scheme not in REDIS_SCHEMES:
        raise ValueError(f"its scheme is none of {', '.join(f'{known}://' for known in REDIS_SCHEMES)}")
    return url


def masked(url: str) -> str:
    """The URL without its passwords, for logs and errors."""
    url = re.sub(r"(?<=[?&])(\w*password)=[^&#]*", r"\1=***", url)
    # Up to the last @, since a password may hold one by mistake.
    return re.sub(r"^([^:/?#]+://[^:/?#@]*):[^/?#]*@", r"\1:***@", url)
