"""The Pythons of this machine on which an install is tried."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13")
"""Those that pyproject.toml names."""


def interpreters() -> dict[str, Path]:
    """A working interpreter of each version that is here: on the PATH, or of pyenv, whose names on the PATH may be empty."""
    known: dict[str, Path] = {}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in VERSIONS:
        candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
        for candidate in candidates:
            if candidate and (found := _working(Path(candidate), version)):
                known[version] = found
                break
    return known


def _working(python: Path, version: str) -> Path | None:
    """The interpreter itself, behind names that only lead to it; None where it is another, or lacks what `venv` needs."""
    script = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
    answer = subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, check=False).stdout
    number, _, executable = answer.strip().partition(" ")
    return Path(executable) if number == version else None
