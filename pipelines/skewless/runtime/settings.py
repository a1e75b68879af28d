"""What an operator may set: the environment variables of every offline step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from pydantic import ByteSize, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from skewless.contract.errors import BadSetting
from skewless.contract.redis_urls import embedded_redis_url, known_redis_url, masked
from skewless.contract.registry.model_registry import ModelRegistry
from skewless.contract.state_folder import DEFINITIONS, STORE_FILE, StateFolders, find_definitions, find_root

PREFIX = "SKEWLESS_"
DEFAULT_JOIN_MEMORY = 1 << 30
LEAST_JOIN_MEMORY = 64 << 20
"""Bytes that a point-in-time join may work in."""
# A bare `postgresql://` would pick psycopg 2, which is not installed.
POSTGRESQL = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


def _sqlite(file: Path) -> str:
    return f"sqlite:///{quote(str(file), safe='/ ')}"


def _folders(seen: dict[str, Any]) -> StateFolders:
    # `seen` lacks "state" where that setting itself was refused; the answer is then never used.
    return StateFolders(seen.get("state", Path("/")))


def _redis_url(seen: dict[str, Any]) -> str:
    return embedded_redis_url(_folders(seen))


def _registry_url(seen: dict[str, Any]) -> str:
    return _sqlite(_folders(seen).registry_db)


def _state_url(seen: dict[str, Any]) -> str:
    return _sqlite(_folders(seen).state_db)


def _models(seen: dict[str, Any]) -> Path:
    return _folders(seen).models


def _feature_repo(seen: dict[str, Any]) -> Path:
    return find_definitions(Path.cwd()) or _folders(seen).root.parent / DEFINITIONS


class ProjectSettings(BaseSettings):
    """Resolved: every path is absolute, every URL complete. Read it once, at the edge, and pass it down."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    state: Path = Field(
        default_factory=lambda: find_root(Path.cwd()),
        description="Folder of everything that Skewless writes. Default: `.skewless` beside the nearest "
        "`feature_repo` upward of the working folder.",
    )
    redis_url: str = Field(
        default_factory=_redis_url,
        description="Online store: `redis://`, `rediss://`, `unix://`, `redis+cluster://`, "
        "`redis+sentinel://`, or these two with `rediss`. Default: the embedded server, started where it is needed.",
    )
    registry_url: str = Field(
        default_factory=_registry_url,
        description="SQLAlchemy URL of the Feast registry, as `postgresql://user:password@host/database`. "
        "Default: SQLite in the state folder.",
    )
    state_url: str = Field(
        default_factory=_state_url,
        description="SQLAlchemy URL of watermarks and runs. Default: SQLite in the state folder.",
    )
    feature_repo: Path = Field(
        default_factory=_feature_repo,
        description="Folder of the definitions. Default: the nearest `feature_repo` upward of the working "
        "folder, else the one beside the state folder.",
    )

    models: str | Path = Field(
        default_factory=_models,
        description="Registry of models: a folder, or a URL as `s3://bucket/models`. Default: `models` in the state "
        "folder.",
    )
    join_memory: ByteSize = Field(
        default=ByteSize(DEFAULT_JOIN_MEMORY),
        ge=LEAST_JOIN_MEMORY,
        description="What a point-in-time join may work in, beside the spine and a result that is asked for whole: "
        "bytes, or with a unit, as `2GiB`. At least 64 MiB.",
    )
    late_events: timedelta = Field(
        default=timedelta(days=1),
        ge=timedelta(0),
        description="How late a row of a table without created timestamps may come, as `P1D` or in seconds: so much "
        "before the watermark is read again each time. Default: one day.",
    )

    @classmethod
    def read(cls) -> Self:
        """The settings of this process.

        Raises:
            BadSetting: names the variable.
        """
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            variable = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
            raise BadSetting(variable, first["msg"].removeprefix("Value error, ")) from None

    @field_validator("state", "feature_repo")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return find_root(Path.cwd(), path)

    @field_validator("models")
    @classmethod
    def _registry(cls, address: str | Path) -> str | Path:
        return address if "://" in str(address) else find_root(Path.cwd(), Path(address))

    @field_validator("state")
    @classmethod
    def _folder(cls, path: Path) -> Path:
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file, not a folder")
        return path

    @field_validator("redis_url")
    @classmethod
    def _known_redis(cls, url: str) -> str:
        return known_redis_url(url)

    @field_validator("registry_url", "state_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        scheme, colon, rest = url.partition("://")
        scheme = POSTGRESQL.get(scheme, scheme)
        if not colon or scheme.partition("+")[0] not in ("sqlite", "postgresql"):
            raise ValueError("it is no SQLAlchemy URL that starts with sqlite:// or postgresql://")
        return f"{scheme}://{rest}"

    @property
    def folders(self) -> StateFolders:
        return StateFolders(self.state)

    @property
    def registry(self) -> ModelRegistry:
        """The registry of models. Raises: RegistryUnreadable."""
        return ModelRegistry(self.models, self.folders.models_mirror)

    @property
    def embedded(self) -> bool:
        """Whether the online store is the embedded server (no `SKEWLESS_REDIS_URL`)."""
        return "redis_url" not in self.model_fields_set

    @property
    def placed(self) -> bool:
        """Whether somebody said where the state is: by a setting, or by standing in a project."""
        return "state" in self.model_fields_set or (self.feature_repo / STORE_FILE).is_file()

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, masked(value) if isinstance(value, str) else value


def adopt(name: str, value: str) -> None:
    """Make `value` this process's setting `name`, for all that read it from now on, Feast's plug-ins included."""
    os.environ[PREFIX + name.upper()] = value


def environment_with(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process that does our work for us: this one's, with `given`."""
    return dict(os.environ) | dict(given)


def child_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process: this one's, without settings of ours but the `given` ones and the places of
    state and definitions, so that the child is the process that was asked for.
    """
    kept = {PREFIX + "STATE", PREFIX + "FEATURE_REPO"}
    inherited = {name: value for name, value in os.environ.items() if name in kept or not name.startswith(PREFIX)}
    return inherited | dict(given)
