"""The files of one run: the page, the JSON and the metrics, each written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import msgspec

from skewless.offline.files.atomic import write_file


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
    """Write them where they are asked for, else beside each other as `stem` with a suffix; the page's path. Not every run
    has metrics.
    """
    # A version has dots of its own, so the suffix is added, not replaced.
    place = html or stem.with_name(f"{stem.name}.html")
    write_file(place, page.encode())
    write_file(json or stem.with_name(f"{stem.name}.json"), msgspec.json.format(msgspec.json.encode(result)))
    if metrics is not None:
        write_file(prom or stem.with_name(f"{stem.name}.prom"), metrics)
    return place
