"""Where the folders of this checkout lie."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DAGS = ROOT / "dags"
FEATURE_REPO = ROOT / "feature_repo"
GOLDEN_BYTES = ROOT / "tests" / "contract" / "golden_bytes.json"
"""Keys, rows and values as bytes, as earlier versions wrote them."""


def project_version() -> str:
    """The version, from the only place where it is written."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
