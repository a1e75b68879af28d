"""The settings of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from skewless.settings.environment_settings import AbsolutePath, EnvironmentSettings, state_folders


def _served(validated: dict[str, Any]) -> Path:
    return state_folders(validated).served


class ServerSettings(EnvironmentSettings):
    """The settings of `skewless serve`."""

    served_log: AbsolutePath = Field(
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
    max_connections: int = Field(
        default=800,
        ge=1,
        description="Connections of a worker; health checks and metrics are answered on 50 more. The default stays below "
        "the usual limit of 1,024 open files.",
    )
    max_head_bytes: int = Field(
        default=32_768,
        ge=1_000,
        description="Longest request line and headers, in bytes; proxies add a few hundred.",
    )
    receive_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="How long a request may take to arrive, its body included, in seconds.",
    )
    send_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="How long a client may leave answers unread before its connection is closed, in seconds.",
    )
    idle_timeout_s: float = Field(
        default=75.0,
        gt=0,
        description="How long a connection stays open between requests, in seconds; longer than the 60 s of usual balancers, "
        "so that they close theirs first.",
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
