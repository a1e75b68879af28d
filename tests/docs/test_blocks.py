"""The pages are true: their blocks are run in one project, each page after the page that it continues."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from tests.docs.pages import README, ROOT, Page, pages
from tests.docs.reader import Reader

WITH_BLOCKS = [page for page in pages() if page.runs]
REPEATS = [page for page in pages() if any(block.run_in for block in page.commands)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """One project for all pages, and the reader who remembers which of them were run in it."""
    folders = StateFolders(tmp_path_factory.mktemp("reader"))
    with ExitStack() as processes:
        yield Reader(folders, processes)
    embedded_valkey.stop(folders)


@pytest.fixture
def reader(project: Reader, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SKEWLESS_STATE", str(project.folders.root))
    monkeypatch.setattr(sys, "path", [str(ROOT / "feature_repo"), *sys.path])
    return project


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=str)
def test_the_blocks_of_a_page_run(page: Page, reader: Reader) -> None:
    reader.reads(page)


def test_pages_have_blocks() -> None:
    assert len(WITH_BLOCKS) >= 12
    assert WITH_BLOCKS[0].path == README


@pytest.mark.parametrize("page", [page for page in WITH_BLOCKS if page.path != README], ids=str)
def test_a_page_with_blocks_says_what_it_continues(page: Page) -> None:
    before, seen = page, set[Path]()
    while before.path != README:
        assert before.path not in seen, "it continues itself"
        seen.add(before.path)
        assert before.continues, f"begin {before} with <!-- continues: PAGE -->"
        before = before.continues


@pytest.mark.parametrize("page", REPEATS, ids=str)
def test_a_block_that_is_run_elsewhere_is_the_same_there(page: Page) -> None:
    for block in page.commands:
        if block.run_in:
            others = [(other.kind, other.text) for other in Page(ROOT / block.run_in).runs]
            assert (block.kind, block.text) in others, f"{block.run_in} has no such block:\n{block.text}"


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_block_that_is_not_run_says_why(page: Page) -> None:
    for block in page.blocks:
        assert block.kind, f"say which language this is:\n{block.text}"
        assert block.reason is None or block.reason.strip()
