"""The settings that the server and the pipelines share: prefix, resolution of paths and URLs, errors that name the
variable.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from skewless.contract.errors import BadSetting
from skewless.contract.redis_urls import embedded_redis_url, known_redis_url, masked
from skewless.contract.state_folder import StateFolders
from skewless.files.state_root import find_root, root_of
from skewless.settings.process_environment import PREFIX, setting

AbsolutePath = Annotated[Path, AfterValidator(lambda path: find_root(Path.cwd(), path))]
"""A path of a setting: where it is relative, it starts at the working folder."""


def state_folders(validated: dict[str, Any]) -> StateFolders:
    """The state folder, for the default of a setting, from the settings that were validated before it.

    They lack "state" where that setting itself was refused; the default is then never used.
    """
    return StateFolders(validated.get("state", Path("/")))


def _state() -> Path:
    definitions = setting("feature_repo")
    return root_of(find_root(Path.cwd(), Path(definitions))) if definitions else find_root(Path.cwd())


def _redis_url(validated: dict[str, Any]) -> str:
    return embedded_redis_url(state_folders(validated))


def _models(validated: dict[str, Any]) -> Path:
    return state_folders(validated).models


class EnvironmentSettings(BaseSettings):
    """Resolved: every path is absolute, every URL complete. Read it once, at the edge, and pass it down.

    A setting is the variable `SKEWLESS_` and its name in capitals; an empty variable is an unset one.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    state: AbsolutePath = Field(
        default_factory=_state,
        description="Folder of everything that Skewless writes. Default: `.skewless` beside the definitions that "
        "`SKEWLESS_FEATURE_REPO` names, else beside the nearest `feature_repo` upward of the working folder.",
    )
    redis_url: str = Field(
        default_factory=_redis_url,
        description="Online store: `redis://`, `rediss://`, `unix://`, `redis+cluster://`, "
        "`redis+sentinel://`, or these two with `rediss`. Default: the socket of the embedded server.",
    )
    models: str | Path = Field(
        default_factory=_models,
        description="Registry of models: a folder, or a URL as `s3://bucket/models`. Default: `models` in the state "
        "folder.",
    )

    @classmethod
    def read(cls, **overrides: Any) -> Self:  # noqa: ANN401 - pydantic checks each
        """The settings of this process; `overrides` go before the environment.

        Raises:
            BadSetting: names the variable.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            first = error.errors()[0]
            variable = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
            raise BadSetting(variable, first["msg"].removeprefix("Value error, ")) from None

    @field_validator("models")
    @classmethod
    def _registry(cls, address: str | Path) -> str | Path:
        return address if "://" in str(address) else find_root(Path.cwd(), Path(address))

    @field_validator("redis_url")
    @classmethod
    def _known_redis(cls, url: str) -> str:
        return known_redis_url(url)

    @property
    def folders(self) -> StateFolders:
        return StateFolders(self.state)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, masked(value) if isinstance(value, str) else value
