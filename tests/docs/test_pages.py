"""What pages point at is there: pages, headings, files, modules, commands; and all pages are in the navigation."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest
import typer

from skewless.cli import app
from tests.docs.pages import DECISIONS, DOCS, README, ROOT, Page, navigation, pages
from tests.docs.reference.cli import verbs

ALL = pages(decisions=True)
README_LINES = 200
FOLDERS = ("serving/", "pipelines/", "dags/", "feature_repo/", "tests/", "infra/")
WITHIN_DOCS = ("infra/docs", "infra/decisions", "infra/pictures")


def test_the_readme_is_short() -> None:
    assert README.read_text().count("\n") <= README_LINES


def test_every_page_is_in_the_navigation() -> None:
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    there |= {path.relative_to(DOCS).with_suffix(".md").as_posix() for path in DOCS.rglob("*.ipynb")}
    there |= {f"decisions/{path.name}" for path in DECISIONS.glob("*.md")}
    listed = navigation()
    assert set(listed) == there
    assert len(listed) == len(set(listed))


def test_every_decision_has_its_line() -> None:
    links = set(Page(DOCS / "decisions.md").links)
    assert {f"../decisions/{path.name}" for path in DECISIONS.glob("*.md")} == links


@pytest.mark.parametrize("page", ALL, ids=str)
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links:
        if link.startswith("https://"):
            continue
        target, _, heading = link.partition("#")
        there = page.beside(target) if target else page
        assert there.path.exists(), f"{link}: no such file"
        assert not heading or heading in there.anchors, f"{link}: no such heading"


@pytest.mark.parametrize("page", [page for page in ALL if page.path != README], ids=str)
def test_pages_link_to_what_the_site_has(page: Page) -> None:
    for link in page.links:
        if not link.startswith(("https://", "#")):
            target = page.beside(link.partition("#")[0]).path.relative_to(ROOT).as_posix()
            assert target.startswith(WITHIN_DOCS), f"{link} is no part of the site: put the path between backticks"


@pytest.mark.parametrize("page", ALL, ids=str)
def test_files_that_are_named_exist(page: Page) -> None:
    gone = [name for name in page.names if name.startswith(FOLDERS) and not _exists(name)]
    assert not gone


@pytest.mark.parametrize("page", ALL, ids=str)
def test_modules_that_are_named_exist(page: Page) -> None:
    for name in re.findall(r"python -m (tests[\w.]+)", page.text):
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name
    for name in page.names:
        if re.fullmatch(r"(?:skewless|pipelines|serving)(?:\.\w+)+", name):
            pkgutil.resolve_name(name)


@pytest.mark.parametrize("page", ALL, ids=str)
def test_make_targets_that_are_named_exist(page: Page) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [*page.names, *(line for block in page.commands for line in block.text.split("\n"))]
    named = {line.split()[1] for line in lines if re.match(r"make [a-z]", line)}
    assert named <= targets


def test_every_verb_is_in_the_guides() -> None:
    """Also beside the reference, which is generated: somebody has to say what a verb is for."""
    text = "\n".join(page.text for page in pages() if page.path.parent.name != "reference")
    names = {name for name, _ in verbs(typer.main.get_command(app))}
    assert {"audit", "audit what-if", "models unpin"} <= names
    missing = {name for name in names if not re.search(rf"skewless {name}\b(?!-)", text)}
    assert not missing, "no page says what these are for"


def _exists(name: str) -> bool:
    name = name.partition("::")[0].partition(":")[0]
    return any(ROOT.glob(name)) if "*" in name else Path(ROOT / name).exists()
