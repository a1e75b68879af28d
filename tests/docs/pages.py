"""The documentation as data: pages, and the blocks, links, headings and names in them."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.checkout import ROOT

DOCS, DECISIONS, README = ROOT / "infra" / "docs", ROOT / "infra" / "decisions", ROOT / "README.md"
CONFIG = DOCS / "zensical.toml"

_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>not run|run in): (?P<said>[^\n]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
_CONTINUES = re.compile(r"\A<!-- continues: (?P<page>\S+) -->\n")
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)", re.DOTALL)
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block. `reason`: why it is not run. `run_in`: the page that runs the same block before this one."""

    kind: str
    text: str
    reason: str | None = None
    run_in: str | None = None


@dataclass(frozen=True)
class Page:
    """A Markdown file of the documentation."""

    path: Path

    def __str__(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def blocks(self) -> list[Block]:
        """Every fenced block, in order."""
        found = []
        for block in _BLOCK.finditer(self.text):
            reason = block["said"] if block["mark"] == "not run" else None
            run_in = block["said"] if block["mark"] == "run in" else None
            found.append(Block(block["kind"], block["text"], reason, run_in))
        return found

    @property
    def commands(self) -> list[Block]:
        """The blocks that a reader can type."""
        return [block for block in self.blocks if block.kind in {"sh", "python"}]

    @property
    def runs(self) -> list[Block]:
        """The blocks that are run when this page is."""
        return [block for block in self.commands if block.reason is None and block.run_in is None]

    @property
    def continues(self) -> Page | None:
        """The page whose blocks have to be run before this one's."""
        said = _CONTINUES.match(self.text)
        return Page(ROOT / said["page"]) if said else None

    def beside(self, link: str) -> Page:
        """The page at a link that is relative to this one."""
        return Page((self.path.parent / link).resolve())

    @cached_property
    def prose(self) -> str:
        """The text without fenced blocks."""
        return _BLOCK.sub("", self.text)

    @property
    def links(self) -> list[str]:
        """The targets of all links and pictures."""
        return [link["target"] for link in _LINK.finditer(self.prose)]

    @cached_property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as the site and GitHub make them."""
        return {anchor(heading["title"]) for heading in _HEADING.finditer(self.prose)}

    @property
    def names(self) -> list[str]:
        """What stands between backticks."""
        return _CODE.findall(self.prose)


def anchor(title: str) -> str:
    """The anchor of a heading."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def pages(*, decisions: bool = False) -> list[Page]:
    """The README and the pages of `infra/docs/` in the order of the navigation, then what that leaves out."""
    listed = [README, *(DOCS / name for name in navigation() if not name.startswith("decisions/"))]
    others = sorted(set(DOCS.rglob("*.md")) - set(listed))
    kept = sorted(DECISIONS.glob("*.md")) if decisions else []
    return [Page(path) for path in (*listed, *others, *kept) if path.exists()]


def navigation() -> list[str]:
    """The files that the site's navigation lists, in order; decisions as `decisions/...`."""
    return _files(tomllib.loads(CONFIG.read_text())["project"]["nav"])


def _files(entries: list[dict[str, object]]) -> list[str]:
    found: list[str] = []
    for entry in entries:
        for target in entry.values():
            found += _files(target) if isinstance(target, list) else [str(target)]
    return found
