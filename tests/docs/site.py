"""`python -m tests.docs.site`: the documentation as a static site with search. It needs the dependency group `docs`.

The builder wants one folder of pages. So pages, decisions and pictures are copied into one, in which a page lies one
folder higher than in `infra/`, and the links between the three are shortened by that.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import CONFIG, DECISIONS, DOCS, ROOT

SITE = ROOT / ".skewless" / "docs"
PICTURES = ROOT / "infra" / "pictures"
_OUTWARD = re.compile(r"\.\./(?=(?:decisions|pictures)/)")
_BACK = re.compile(r"\.\./docs/")
_NOTES = re.compile(r"^<!-- (?:continues|run in|not run): .*? -->\n", re.MULTILINE)


def gather(folder: Path) -> Path:
    """Lay out configuration and pages in `folder`, made anew. Returns the configuration."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns(CONFIG.name))
    for page in pages.rglob("*.md"):
        page.write_text(_NOTES.sub("", _OUTWARD.sub("", page.read_text())))
    shutil.copytree(PICTURES, pages / PICTURES.name)
    (pages / DECISIONS.name).mkdir()
    for page in DECISIONS.glob("*.md"):
        (pages / DECISIONS.name / page.name).write_text(_BACK.sub("../", page.read_text()))
    return Path(shutil.copy(CONFIG, folder))


def build(folder: Path) -> Path:
    """Build the site below `folder`, warnings as errors. Raises: CalledProcessError. Returns where its pages are."""
    config = gather(folder)
    subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", str(config)], check=True)
    return folder / "site"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.docs.site", description=__doc__)
    parser.add_argument("--into", type=Path, default=SITE, help="folder to build in")
    print(build(parser.parse_args().into.resolve()) / "index.html")


if __name__ == "__main__":
    main()
