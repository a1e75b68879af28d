"""`python -m tests.docs.reference`: write the generated parts of the documentation from the code."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.docs.pages import DOCS, README, Page
from tests.docs.reference import formats, metrics
from tests.docs.reference.cli import cli
from tests.docs.reference.errors import errors
from tests.docs.reference.figures import figures, price
from tests.docs.reference.http import http, problem_types
from tests.docs.reference.python import python, results
from tests.docs.reference.rooms import rooms
from tests.docs.reference.settings import settings

COMMAND = "make docs-reference"
REFERENCE = DOCS / "reference"
PARTS: dict[Page, dict[str, Callable[[], str]]] = {
    Page(README): {"figures": figures},
    Page(DOCS / "results.md"): {"price": price},
    Page(DOCS / "concepts" / "rooms.md"): {"rooms": rooms},
    Page(REFERENCE / "settings.md"): {"settings": settings},
    Page(REFERENCE / "cli.md"): {"cli": cli},
    Page(REFERENCE / "python.md"): {"python": python, "results": results},
    Page(REFERENCE / "http.md"): {"http": http, "problems": problem_types},
    Page(REFERENCE / "errors.md"): {"errors": errors},
    Page(REFERENCE / "metrics.md"): {
        "server-metrics": metrics.server_metrics,
        "report-metrics": metrics.report_metrics,
    },
    Page(REFERENCE / "formats.md"): {
        "key": formats.key_example,
        "row": formats.row_header,
        "row-example": formats.row_example,
        "value-types": formats.value_types,
        "catalog": formats.catalog_entries,
        "bundle": formats.bundle_files,
        "manifest": formats.manifest_fields,
        "served-log": formats.served_columns,
        "statuses": formats.statuses,
        "folders": formats.folders,
    },
}
"""By page and mark: what makes the text between `<!-- mark -->` and `<!-- /mark -->`."""


def written(page: Page) -> str:
    """The page with its generated parts as they are to be. Raises: ValueError where a mark is missing."""
    text = page.path.read_text()
    for mark, make in PARTS[page].items():
        pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{page} has no marks <!-- {mark} --> and <!-- /{mark} -->")
        made = make()
        text = pattern.sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text)
    return text


def main() -> None:
    for page in PARTS:
        page.path.write_text(written(page))
        print(page)


if __name__ == "__main__":
    main()
