"""An installed distribution in an environment that was empty, made by pip, uv or pipx, and tried."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.checkout import project_version
from tests.packaging.installed_shop import write_project

_OURS = ("SKEWLESS_", "PYTHON", "VIRTUAL_ENV", "UV_PROJECT", "PIPX_")


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's, less what would lead a tool to another environment."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | variables


@dataclass(slots=True)
class Installation:
    """`commands`: uv, and the words before the name of a tool that uv runs. `seconds` is what the install took."""

    tool: str
    version: str
    extra: str
    folder: Path
    commands: tuple[str, ...]
    seconds: float = field(default=0.0, init=False)

    def __str__(self) -> str:
        return f"{self.name} by {self.tool} on Python {self.version}"

    @property
    def name(self) -> str:
        return f"skewless[{self.extra}]" if self.extra else "skewless"

    @property
    def _with_pipelines(self) -> bool:
        return "pipelines" in self.extra

    @property
    def environment(self) -> Path:
        return self.folder / ("venvs/skewless" if self.tool == "pipx" else "environment")

    @property
    def site_packages(self) -> Path:
        return self.environment / "lib" / f"python{self.version}" / "site-packages"

    def make(self, python: Path, distribution: Path) -> Installation:
        """Raises: SystemExit with what the tool said."""
        uv, *released = self.commands
        place = self.environment
        wanted = f"{self.name} @ {distribution.as_uri()}"
        if self.tool == "pip":
            self._run(python, "-m", "venv", place)
            self._timed(place / "bin" / "python", "-m", "pip", "install", "--quiet", wanted)
        elif self.tool == "pipx":
            self._timed(*released, "pipx", "install", "--quiet", "--python", python, wanted)
        else:
            self._run(uv, "venv", "--quiet", "--python", python, place)
            self._timed(uv, "pip", "install", "--quiet", "--python", place / "bin" / "python", wanted)
        return self

    def smoke(self) -> None:
        """The command line answers; with pipelines a project's table is materialized. Raises: SystemExit."""
        skewless = self.environment / "bin" / "skewless"
        if self._run(skewless, "--version") != f"skewless {project_version()}\n":
            raise SystemExit(f"{self} tells another version")
        help_text = self._run(skewless, "--help")
        self._run(skewless, "serve", "--help")
        if (" materialize " in help_text) != self._with_pipelines:
            raise SystemExit(f"{self} lists the wrong verbs:\n{help_text}")
        if (self.site_packages / "feast").exists() != self._with_pipelines:
            raise SystemExit(f"{self} has Feast where it should not, or lacks it")
        if self._with_pipelines:
            write_project(self.folder / "shop")
            try:
                for verb in ("apply", "materialize", "verify"):
                    self._run(skewless, verb, cwd=self.folder / "shop")
            finally:
                self._run(skewless, "down", cwd=self.folder / "shop")

    def row(self) -> str:
        """A line of the table, in Markdown; the installer itself is not counted."""
        files = [file for file in self.site_packages.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
        own = [file for file in files if file.relative_to(self.site_packages).parts[0].partition("-")[0] != "pip"]
        packages = sum(file.name == "METADATA" for file in own if file.parent.suffix == ".dist-info")
        size = sum(file.lstat().st_size for file in own) / 1e6
        return f"| {self.extra or '(none)'} | {self.version} | {self.tool} | {self.seconds:.0f} | {packages} | {size:.0f} |"

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def _timed(self, *command: str | Path) -> None:
        begin = time.monotonic()
        self._run(*command)
        self.seconds = time.monotonic() - begin

    def _run(self, *command: str | Path, cwd: Path | None = None) -> str:
        homes = {"PIPX_HOME": str(self.folder), "PIPX_BIN_DIR": str(self.folder / "bin")}
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=clean_environment(**homes),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{self}: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
        return done.stdout
