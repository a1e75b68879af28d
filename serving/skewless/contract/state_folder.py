"""The state folder, which has everything that Skewless writes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

# A unix socket's path holds at most 108 bytes on Linux and 104 on macOS, its closing zero included.
LONGEST_SOCKET_PATH = 100
STATE = ".skewless"
DEFINITIONS = "feature_repo"
STORE_FILE = "feature_store.yaml"


@dataclass(frozen=True, slots=True)
class StateFolders:
    """Paths under the absolute `root`; nothing here is created.

    `temporary` takes the socket of a root whose own path is too long for one.
    """

    root: Path
    temporary: Path = Path("/tmp")  # noqa: S108 - `up` refuses a socket on which somebody else answers

    def __post_init__(self) -> None:
        if not self.root.is_absolute():
            raise ValueError(f"the state folder {str(self.root)!r} is not an absolute path")

    @property
    def data(self) -> Path:
        """Parquet tables of the offline store."""
        return self.root / "data"

    @property
    def registry_db(self) -> Path:
        return self.root / "registry.db"

    @property
    def compiled_views(self) -> Path:
        """The plan views that the registry's online feature views were compiled to."""
        return self.root / "compiled-views.json"

    @property
    def state_db(self) -> Path:
        """Watermarks and runs."""
        return self.root / "state.db"

    @property
    def models(self) -> Path:
        """Published bundles: `models/<name>/<version>/`."""
        return self.root / "models"

    @property
    def models_mirror(self) -> Path:
        """Copies of bundles whose registry is no folder of this machine."""
        return self.root / "mirrored-models"

    @property
    def served(self) -> Path:
        """The served log."""
        return self.root / "served"

    @property
    def training(self) -> Path:
        """Training sets."""
        return self.root / "training"

    @property
    def scores(self) -> Path:
        """Batch scores, by model and version."""
        return self.root / "scores"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def quarantine(self) -> Path:
        """Batches that a data-quality gate refused."""
        return self.root / "quarantine"

    @property
    def redis(self) -> Path:
        """Files of the embedded Redis: log, lock, append-only file."""
        return self.root / "redis"

    @property
    def redis_socket(self) -> Path:
        """The same path in every process that knows the same root."""
        inside = self.redis / "valkey.sock"
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return self.temporary / f"skewless-{digest}.sock"
