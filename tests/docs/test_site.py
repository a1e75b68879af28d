"""The site: its folder of pages is whole, and it builds without a warning where its builder is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from tests.docs import site
from tests.docs.pages import CONFIG, Page, navigation

needs_the_builder = pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="the group `docs` is not installed: `make docs` installs it"
)


def test_links_still_lead_somewhere_once_pages_are_gathered(tmp_path: Path) -> None:
    pages = site.gather(tmp_path / "site").parent / "pages"
    listed = [pages / name for name in navigation()]
    for path in listed:
        page = Page(path)
        assert "<!-- continues" not in page.text
        for link in page.links:
            if not link.startswith(("https://", "#")):
                assert page.beside(link.partition("#")[0]).path.is_file(), f"{path.relative_to(pages)}: {link}"
    assert (tmp_path / "site" / CONFIG.name).exists()


@needs_the_builder
def test_the_site_builds_without_a_warning_and_can_be_searched(tmp_path: Path) -> None:
    built = site.build(tmp_path / "site")
    for name in navigation():
        folder = Path(name).with_suffix("") if Path(name).name != "index.md" else Path(name).parent
        assert (built / folder / "index.html").is_file()
    found = json.loads((built / "search.json").read_text())
    assert "created_timestamp" in json.dumps(found)


@needs_the_builder
def test_a_link_to_nowhere_fails_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered = site.gather

    def broken(folder: Path, *_: object) -> Path:
        config = gathered(folder)
        (folder / "pages" / "start.md").write_text("# Start\n\n[nowhere](nowhere.md)\n")
        return config

    monkeypatch.setattr(site, "gather", broken)
    with pytest.raises(CalledProcessError):
        site.build(tmp_path / "site")
