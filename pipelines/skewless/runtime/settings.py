"""Settings of the offline steps that an operator may change."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from pydantic import ByteSize, Field, field_validator

from skewless.contract.state_folder import DEFINITIONS, STORE_FILE
from skewless.files.state_root import find_definitions, root_of
from skewless.settings.environment_settings import AbsolutePath, EnvironmentSettings, state_folders
from skewless.settings.process_environment import setting

if TYPE_CHECKING:
    from skewless.registry.model_registry import ModelRegistry

DEFAULT_JOIN_MEMORY = 1 << 30
LEAST_JOIN_MEMORY = 64 << 20
"""Bytes that a point-in-time join may work in."""
# A bare `postgresql://` would pick psycopg 2, which is not installed.
POSTGRESQL = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


def _sqlite(file: Path) -> str:
    return f"sqlite:///{quote(str(file), safe='/ ')}"


def _registry_url(validated: dict[str, Any]) -> str:
    return _sqlite(state_folders(validated).registry_db)


def _state_url(validated: dict[str, Any]) -> str:
    return _sqlite(state_folders(validated).state_db)


def _feature_repo(validated: dict[str, Any]) -> Path:
    return find_definitions(Path.cwd()) or state_folders(validated).root.parent / DEFINITIONS


class ProjectSettings(EnvironmentSettings):
    """The settings of every offline step."""

    registry_url: str = Field(
        default_factory=_registry_url,
        description="SQLAlchemy URL of the Feast registry, as `postgresql://user:password@host/database`. "
        "Default: SQLite in the state folder.",
    )
    state_url: str = Field(
        default_factory=_state_url,
        description="SQLAlchemy URL of watermarks and runs. Default: SQLite in the state folder.",
    )
    feature_repo: AbsolutePath = Field(
        default_factory=_feature_repo,
        description="Folder of the definitions. Default: the nearest `feature_repo` upward of the working "
        "folder, else the one beside the state folder.",
    )
    join_memory: ByteSize = Field(
        default=ByteSize(DEFAULT_JOIN_MEMORY),
        ge=LEAST_JOIN_MEMORY,
        description="Memory that a point-in-time join may use, besides the spine and a result that is returned as one table: "
        "bytes, or with a unit, as `2GiB`. At least 64 MiB.",
    )
    late_events: timedelta = Field(
        default=timedelta(days=1),
        ge=timedelta(0),
        description="How late a row of a table without created timestamps may arrive, as `P1D` or in seconds: each run "
        "reads this much before the watermark again. Default: one day.",
    )

    @classmethod
    def of(cls, repo: Path) -> Self:
        """The settings of the project with the definitions in `repo`, wherever this process works. The environment goes
        first, but for the definitions.

        Raises:
            BadSetting: names the variable.
        """
        definitions = repo.absolute()
        state = {} if setting("state") else {"state": root_of(definitions)}
        return cls.read(feature_repo=definitions, **state)

    @field_validator("state")
    @classmethod
    def _folder(cls, path: Path) -> Path:
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file, not a folder")
        return path

    @field_validator("registry_url", "state_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        scheme, colon, rest = url.partition("://")
        scheme = POSTGRESQL.get(scheme, scheme)
        if not colon or scheme.partition("+")[0] not in ("sqlite", "postgresql"):
            raise ValueError("it must be a SQLAlchemy URL that starts with sqlite:// or postgresql://")
        return f"{scheme}://{rest}"

    @property
    def registry(self) -> ModelRegistry:
        """The registry of models. Raises: RegistryUnreadable."""
        from skewless.registry.model_registry import ModelRegistry  # noqa: PLC0415 - most commands need no model

        return ModelRegistry(self.models, self.folders.models_mirror)

    @property
    def embedded(self) -> bool:
        """Whether the online store is the embedded server (no `SKEWLESS_REDIS_URL`)."""
        return "redis_url" not in self.model_fields_set

    @property
    def placed(self) -> bool:
        """Whether the state folder was chosen: by the `state` setting, or because the working folder is in a project."""
        return "state" in self.model_fields_set or (self.feature_repo / STORE_FILE).is_file()
