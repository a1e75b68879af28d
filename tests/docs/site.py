"""`python -m tests.docs.site`: the documentation as a static site with search. It needs the dependency group `docs`.

The builder wants one folder of pages. So pages, decisions and pictures are copied into one, in which a page lies one
folder higher than in `infra/`, and the links between the three are shortened by that. Notebooks become pages: `main` runs
them first, so that a reader sees their outputs.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.docs import notebooks
from tests.docs.pages import CONFIG, DECISIONS, DOCS, ROOT

SITE = ROOT / ".skewless" / "docs"
PICTURES = ROOT / "infra" / "pictures"
_OUTWARD = re.compile(r"\.\./(?=(?:decisions|pictures)/)")
_BACK = re.compile(r"\.\./docs/")
_NOTEBOOK = re.compile(r"(?<=\()(\S+)\.ipynb(?=[)#])")
_NOTES = re.compile(r"^<!-- (?:continues|run in|not run): .*? -->\n", re.MULTILINE)


def as_written(notebook: Path) -> str:
    """A notebook as a page, without outputs."""
    return notebooks.page(notebooks.read(notebook))


def with_outputs(notebook: Path) -> str:
    """A notebook as a page, run."""
    with tempfile.TemporaryDirectory(prefix="skewless-") as workplace:
        return notebooks.page(notebooks.executed(notebook, Path(workplace)))


def gather(folder: Path, page_of: Callable[[Path], str] = as_written) -> Path:
    """Lay out configuration and pages in `folder`, made anew; a notebook's page is made by `page_of`. Returns the
    configuration.
    """
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns(CONFIG.name, "*.ipynb"))
    for notebook in DOCS.rglob("*.ipynb"):
        (pages / notebook.relative_to(DOCS)).with_suffix(".md").write_text(page_of(notebook))
    for page in pages.rglob("*.md"):
        page.write_text(_NOTES.sub("", _OUTWARD.sub("", _NOTEBOOK.sub(r"\1.md", page.read_text()))))
    shutil.copytree(PICTURES, pages / PICTURES.name)
    (pages / DECISIONS.name).mkdir()
    for page in DECISIONS.glob("*.md"):
        (pages / DECISIONS.name / page.name).write_text(_BACK.sub("../", page.read_text()))
    return Path(shutil.copy(CONFIG, folder))


def build(folder: Path, page_of: Callable[[Path], str] = as_written) -> Path:
    """Build the site below `folder`, warnings as errors. Raises: CalledProcessError. Returns where its pages are."""
    config = gather(folder, page_of)
    subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", str(config)], check=True)
    return folder / "site"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.docs.site", description=__doc__)
    parser.add_argument("--into", type=Path, default=SITE, help="folder to build in")
    print(build(parser.parse_args().into.resolve(), with_outputs) / "index.html")


if __name__ == "__main__":
    main()
