"""Writes a drafted project: every file by its template, and the folder appears whole or not at all."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from skewless.contract.errors import SkewlessError
from skewless.files.durable import new_folder, remove_unfinished_folders
from skewless.scaffold.draft import ProjectDraft

_TEMPLATES = Path(__file__).parent / "templates"
_SAME = (
    "pyproject.toml",
    "README.md",
    ".gitignore",
    "tests/test_features.py",
    "tests/test_timetables.py",
    "dags/timetables.py",
    "feature_repo/feature_store.yaml",
    "feature_repo/entities.py",
    "feature_repo/features.py",
    "feature_repo/transforms.py",
    "feature_repo/services.py",
    "feature_repo/models.py",
)
"""The files that every project has; each has a template of its own name."""
_WIDTH = 120
"""Of a comment."""
_TABLES = "feature_repo/tables.py"


@dataclass(eq=False)
class FolderNotEmpty(SkewlessError):
    """There is something already where a project should be made."""

    folder: str

    def __str__(self) -> str:
        return f"{self.folder} exists and is not an empty folder; choose another name, or remove it first"


def require_free(folder: Path) -> None:
    """Raises: FolderNotEmpty."""
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        raise FolderNotEmpty(str(folder))


def write_project(folder: Path, draft: ProjectDraft, tables: str, values: Mapping[str, object]) -> None:
    """Write the files of a project to a folder that does not exist or is empty. `tables` names the template of its tables,
    which takes `values` too. Raises: FolderNotEmpty.
    """
    require_free(folder)
    environment = _environment()
    try:
        with new_folder(folder) as building:
            for name in (*_SAME, _TABLES):
                template = f"{tables if name == _TABLES else Path(name).name.lstrip('.')}.j2"
                text = environment.get_template(template).render(draft=draft, **values)
                file = building / name
                file.parent.mkdir(exist_ok=True)
                file.write_text(text, encoding="utf-8")
    except (FileExistsError, FileNotFoundError):
        require_free(folder)  # another one was quicker
        raise
    remove_unfinished_folders(folder)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701 - the files are Python and Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = quoted
    environment.filters["sql"] = in_triple_quotes
    environment.filters["comment"] = comment
    return environment


def quoted(text: str) -> str:
    """A text as a Python (and TOML) string."""
    return json.dumps(text, ensure_ascii=False)


def comment(text: str) -> str:
    """A text as one comment or more of Python, after the first `# `."""
    return "\n# ".join(textwrap.wrap(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False))


def in_triple_quotes(text: str) -> str:
    """A text as the inside of a string in triple quotes."""
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
