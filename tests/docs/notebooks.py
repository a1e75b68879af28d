"""`python -m tests.docs.notebooks NOTEBOOK PAGE`: run a notebook of the documentation and write it as a page, with its outputs.

It runs in a shop that `skewless init` would make, with an online store of its own. A cell that fails ends it.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from datetime import date
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbformat import NotebookNode

from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from skewless.scaffold.shop import make_shop
from skewless.settings.process_environment import PREFIX

CELL_SECONDS = 300
MADE_ON = date(2026, 3, 1)
_ADDRESS = re.compile(r"/\S*?(?=/shop/)")


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def written(notebook: NotebookNode) -> str:
    """The text of a notebook's file."""
    return str(nbformat.writes(notebook))


def executed(path: Path, workplace: Path) -> NotebookNode:
    """The notebook with its outputs, run in a new project below `workplace`. Raises: CellExecutionError."""
    shop = workplace / "shop"
    make_shop(shop, MADE_ON)
    notebook = read(path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    try:
        NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(shop)}}).execute(
            env=environment
        )
    finally:
        embedded_valkey.stop(StateFolders(shop / ".skewless"))
    return notebook


def page(notebook: NotebookNode) -> str:
    """A notebook as Markdown, its outputs as HTML where they have it. Folders of this machine are left out."""
    body, _ = MarkdownExporter().from_notebook_node(notebook)
    return _ADDRESS.sub("", body)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.docs.notebooks", description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("page", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skewless-") as workplace:
        asked.page.write_text(page(executed(asked.notebook, Path(workplace))))


if __name__ == "__main__":
    main()
