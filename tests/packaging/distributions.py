"""What is built: wheel and sdist, and what is in them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.checkout import ROOT


def build(kind: str, folder: Path, source: Path = ROOT) -> Path:
    """The wheel or sdist of a source tree, this checkout's by default, built offline by what the environment has."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def top_names(wheel: Path) -> set[str]:
    """The names that the wheel brings to the top of site-packages, besides its own metadata."""
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    return {top for top in tops if not top.endswith(".dist-info")}
