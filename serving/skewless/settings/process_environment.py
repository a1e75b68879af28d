"""The environment of this process, and of those that it starts: the one place that changes it or passes it on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PREFIX = "SKEWLESS_"


def variable(name: str) -> str | None:
    """A variable that the user's own declarations name; None where it is not set."""
    return os.environ.get(name)


def adopt(name: str, value: str) -> None:
    """Make `value` this process's setting `name`, for all that read it from now on, Feast's plug-ins included."""
    os.environ[PREFIX + name.upper()] = value


def setting(name: str) -> str | None:
    """The text of this process's setting `name`; None where it is unset or empty."""
    return os.environ.get(PREFIX + name.upper()) or None


def settings_in_force() -> tuple[tuple[str, str], ...]:
    """Every variable of ours, for who keeps what was read from them."""
    return tuple((name, os.environ[name]) for name in os.environ if name.startswith(PREFIX))


def environment_with(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process that does our work for us: this one's, with `variables`."""
    return dict(os.environ) | dict(variables)


def child_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process: this one's, without settings of ours but these `variables` and the places of
    state and definitions, so that the child is the process that was asked for.
    """
    kept = {PREFIX + "STATE", PREFIX + "FEATURE_REPO"}
    inherited = {name: value for name, value in os.environ.items() if name in kept or not name.startswith(PREFIX)}
    return inherited | dict(variables)


def share_metrics(folder: Path | None) -> None:
    """Make the processes that start from now on keep their counters together in `folder`, or each its own.

    prometheus-client decides by a variable of its own when it is imported, and an imported Feast sets that for all
    that it starts, to a folder which goes when it ends.
    """
    for name in (f"{PREFIX}METRICS_FOLDER", "PROMETHEUS_MULTIPROC_DIR"):
        os.environ.pop(name, None)
        if folder is not None:
            os.environ[name] = str(folder)
