"""The notebook of the documentation runs in a made project, cell by cell, and a reader of the site sees what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import notebooks, site
from tests.docs.pages import DOCS

SHOP = DOCS / "guides" / "shop.ipynb"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The notebook's page; made by a process of its own, since a kernel's client warns of this and that."""
    written = tmp_path_factory.mktemp("notebook") / "shop.md"
    command = [sys.executable, "-W", "ignore", "-m", "tests.docs.notebooks", str(SHOP), str(written)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=DOCS.parents[1])
    assert done.returncode == 0, done.stderr
    return written.read_text()


@pytest.mark.timeout(900)
def test_every_cell_runs_and_shows_what_it_says(page: str):
    for shown in (
        "16,517 rows in 2 tables",
        "orders__mean_total",
        "proven and published",
        "1 scores at",
        "Not skewed",
        "1.0.0",
    ):
        assert shown in page
    assert page.count("<iframe ") == 2, "the model's card, and the audit"
    assert "Traceback" not in page
    assert "warning" not in page


@pytest.mark.timeout(900)
def test_a_page_has_no_folder_of_the_machine_that_made_it(page: str):
    assert "/shop/feature_repo" in page
    assert "/tmp/" not in page
    assert str(Path.home()) not in page


def test_notebooks_are_kept_without_outputs():
    for path in DOCS.rglob("*.ipynb"):
        for cell in notebooks.read(path).cells:
            assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None), path


def test_a_cell_that_fails_ends_it(tmp_path: Path):
    notebook = notebooks.read(SHOP)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:1]
    notebook.cells[0].source = "1 / 0"
    broken = tmp_path / "broken.ipynb"
    broken.write_text(notebooks.written(notebook))
    command = [sys.executable, "-W", "ignore", "-m", "tests.docs.notebooks", str(broken), str(tmp_path / "page.md")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=DOCS.parents[1])
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert not (tmp_path / "page.md").exists()


def test_the_site_has_a_page_for_each_notebook(tmp_path: Path):
    pages = site.gather(tmp_path).parent / "pages"
    assert "project.training_set()" in (pages / "guides" / "shop.md").read_text()
    assert not list(pages.rglob("*.ipynb"))
