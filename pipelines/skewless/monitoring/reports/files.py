"""Writes the files of one run: the page, the JSON and the metrics, each atomically."""

from __future__ import annotations

from pathlib import Path

import msgspec

from skewless.files.durable import write_file


def write(
    stem: Path,
    result: msgspec.Struct,
    page: str,
    metrics: bytes | None,
    *,
    html: Path | None,
    json: Path | None,
    prom: Path | None,
) -> Path:
    """Write each file to its path, or where that is None to `stem` plus a suffix; returns the page's path. `metrics` is
    None for a run without metrics.
    """
    # A version contains dots, so the suffix is appended, not replaced.
    page_path = html or stem.with_name(f"{stem.name}.html")
    write_file(page_path, page.encode())
    write_file(json or stem.with_name(f"{stem.name}.json"), msgspec.json.format(msgspec.json.encode(result)))
    if metrics is not None:
        write_file(prom or stem.with_name(f"{stem.name}.prom"), metrics)
    return page_path
