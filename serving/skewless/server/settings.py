"""What an operator may set: the environment variables of the server. The one place of serving that reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from skewless.contract.errors import BadSetting
from skewless.contract.redis_urls import embedded_redis_url, known_redis_url, masked
from skewless.contract.state_folder import StateFolders, find_root

PREFIX = "SKEWLESS_"


def _folders(seen: dict[str, Any]) -> StateFolders:
    # `seen` lacks "state" where that setting itself was refused; the answer is then never used.
    return StateFolders(seen.get("state", Path("/")))


def _redis_url(seen: dict[str, Any]) -> str:
    return embedded_redis_url(_folders(seen))


def _models(seen: dict[str, Any]) -> Path:
    return _folders(seen).models


def _served(seen: dict[str, Any]) -> Path:
    return _folders(seen).served


class ServerSettings(BaseSettings):
    """Resolved: every path is absolute, every URL complete. Read it once, at the edge, and pass it down."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    state: Path = Field(
        default_factory=lambda: find_root(Path.cwd()),
        description="Folder of everything that Skewless writes. Default: `.skewless` beside the nearest "
        "`feature_repo` upward of the working folder.",
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
    served_log: Path = Field(
        default_factory=_served,
        description="Folder of the served log. Default: `served` in the state folder.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(default=1, ge=1, le=256, description="Server processes.")
    allow_as_of: bool = Field(
        default=False,
        description="Whether a request may ask for a prediction as of a time that it names (`as_of`).",
    )
    max_body_bytes: int = Field(
        default=1 << 20,
        ge=1,
        description="Longest body of a request, in bytes; 1,000 rows of 20 values take 400 kB.",
    )
    redis_timeout_s: float = Field(
        default=0.5,
        gt=0,
        description="How long one read of the online store may take, connecting included, in seconds.",
    )
    models_refresh_s: float = Field(
        default=2.0,
        gt=0,
        description="How often a worker looks for changed rollouts and checks contracts, in seconds.",
    )
    served_log_rows: int = Field(
        default=100_000,
        ge=0,
        description="Rows that may wait to be written; more are dropped and counted. 0: no log.",
    )
    served_log_flush_s: float = Field(
        default=5.0, gt=0, description="How often waiting rows are written to the served log, in seconds."
    )
    served_log_share: float = Field(
        default=1.0, ge=0, le=1, description="Share of the requests that are logged, chosen by their ids."
    )
    push_project: str | None = Field(
        default=None,
        description="Feast project whose feature views take pushed rows over HTTP; the server then needs the data "
        "folder, to write to. Default: no pushes.",
    )
    push_timeout_s: float = Field(
        default=2.0,
        gt=0,
        description="How long one write of pushed rows to the online store may take, connecting included, in seconds.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe message that is logged."
    )
    metrics_folder: Path | None = Field(
        default=None,
        description="Where several workers share their counters; set by `skewless serve` for its workers.",
    )

    @classmethod
    def read(cls, **given: Any) -> Self:  # noqa: ANN401 - pydantic checks each
        """The settings of this process; what is `given` goes before the environment.

        Raises:
            BadSetting: names the variable.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            variable = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
            raise BadSetting(variable, first["msg"].removeprefix("Value error, ")) from None

    @field_validator("models")
    @classmethod
    def _registry(cls, address: str | Path) -> str | Path:
        return address if "://" in str(address) else find_root(Path.cwd(), Path(address))

    @field_validator("state", "served_log")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return find_root(Path.cwd(), path)

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


def share_metrics(folder: Path | None) -> None:
    """Make the processes that start from now on keep their counters together in `folder`, or each its own.

    prometheus-client decides by a variable of its own when it is imported, and an imported Feast sets that for all
    that it starts, to a folder which goes when it ends.
    """
    for name in (f"{PREFIX}METRICS_FOLDER", "PROMETHEUS_MULTIPROC_DIR"):
        os.environ.pop(name, None)
        if folder is not None:
            os.environ[name] = str(folder)
