"""The name of a project, as a folder, a distribution and a Feast project."""

from __future__ import annotations

import keyword
import re
import unicodedata
from dataclasses import dataclass

from skewless.contract.errors import SkewlessError

_DISTRIBUTION = re.compile(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?")
"""A name of PEP 508 that begins with a letter, since Feast's is an identifier."""
_LONGEST = 64


@dataclass(eq=False)
class BadProjectName(SkewlessError):
    """A name that no project can have; `similar` is one that it can."""

    name: str
    similar: str

    def __str__(self) -> str:
        return (
            f"{self.name!r} cannot be the name of a project: a letter, then letters, digits, `.`, `_` and `-`, at most "
            f"{_LONGEST}, with a letter or digit at the end; try `skewless init {self.similar}`"
        )


def feast_name(name: str) -> str:
    """Feast's name of a project: lower case, with `_` for what an identifier cannot have. Raises: BadProjectName."""
    if len(name) > _LONGEST or not _DISTRIBUTION.fullmatch(name) or name.lower() == "skewless":
        raise BadProjectName(name, _similar(name))
    return identifier(name)


def identifier(text: str) -> str:
    """A text as a Python identifier in lower case, also as a column and a feature: `Order Größe` is `order_grosse`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    letters = unicodedata.normalize("NFKD", words.casefold()).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9]+", "_", letters).strip("_")[:_LONGEST].strip("_")
    if not plain or plain[0].isdigit():
        plain = f"column_{plain}".rstrip("_")
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def unused(text: str, used: set[str]) -> str:
    """A text as an identifier that is not among those `used`, to which it is added: `name`, `name_2`, `name_3`."""
    plain = name = identifier(text)
    number = 1
    while name in used:
        number += 1
        name = f"{plain.rstrip('_')}_{number}"
    used.add(name)
    return name


def _similar(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name.strip("/").rpartition("/")[2]).strip("._-0123456789")[:_LONGEST]
    plain = plain.strip("._-")
    return plain if plain and plain.lower() != "skewless" else "shop"
