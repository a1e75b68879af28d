"""What is known of a project before its files are written; the templates print it.

Held by tests/scaffold/test_shop.py.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

NUMBERS = frozenset({"Int64", "Float64", "Bool"})
"""Feast types that a model takes as they are."""


@dataclass(frozen=True, slots=True)
class FeatureDraft:
    """A column of a table as a feature; `dtype` is Feast's name of its type."""

    name: str
    dtype: str
    description: str

    @property
    def number(self) -> bool:
        return self.dtype in NUMBERS


@dataclass(frozen=True, slots=True)
class ModelDraft:
    """A model to declare. `boundaries` are the four ends of its windows as Python source: train, validate, test, end."""

    name: str
    label: str
    known_after: timedelta
    boundaries: Sequence[str]
    question: str = ""
    """What could not be inferred of the label, as a comment; empty where nothing is open."""

    @property
    def imports(self) -> str:
        """What the boundaries are calls of."""
        return self.boundaries[0].partition("(")[0]


@dataclass(frozen=True, slots=True)
class EntityDraft:
    """The thing that features are about. `example` is the JSON of a key that its table has, `notes` are comments."""

    name: str
    key: str
    dtype: str
    example: str
    notes: Sequence[str] = ()

    @property
    def shell_example(self) -> str:
        """The key as a word of a shell."""
        return shlex.quote(str(json.loads(self.example)))


@dataclass(frozen=True, slots=True)
class ProjectDraft:
    """A project: `name` is its folder's and its distribution's, `project` is Feast's name for it.

    `story` is a sentence on its data, `view` the feature view and its table, `request_unix` an example of the request input.
    """

    name: str
    project: str
    story: str
    entity: EntityDraft
    view: str
    features: Sequence[FeatureDraft]
    ttl_days: int
    request_unix: int
    model: ModelDraft | None
    known_since: bool = False
    """Whether the table has `created_timestamp`."""
    database: str = ""
    """The environment variable with the URL of the database that the tables are read from."""
    notes: Sequence[str] = ()
    """What was inferred and why, and what was left out."""

    @property
    def numbers(self) -> list[str]:
        """The features that a model takes as they are."""
        return [feature.name for feature in self.features if feature.number]

    @property
    def types(self) -> list[str]:
        """The Feast types to import."""
        return sorted({"Float32", "Int64", *(feature.dtype for feature in self.features)})
