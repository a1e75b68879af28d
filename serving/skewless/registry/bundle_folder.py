"""Bundles as folders of this machine.

Held by tests/model/publishing/test_publish.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skewless.contract.errors import InvalidBundle
from skewless.contract.model.bundle import Bundle, file_names, prove_bundle
from skewless.contract.model.manifest import MANIFEST, Manifest, parse_manifest


def open_bundle(folder: Path, processor: Sequence[str]) -> Bundle:
    """Open a bundle after checking its digests, its fingerprint and its golden rows. Raises: InvalidBundle.

    `processor` are the SIMD features of this machine.
    """
    manifest, where = read_manifest(folder), str(folder)
    files = {name: _content(folder, name, f"{name} is missing") for name in file_names(manifest, where)}
    return prove_bundle(manifest, files, where, processor)


def read_manifest(folder: Path) -> Manifest:
    """A bundle's manifest. Raises: InvalidBundle where it is none, or not the one that was sealed."""
    return parse_manifest(_content(folder, MANIFEST, f"it has no {MANIFEST}"), str(folder))


def _content(folder: Path, name: str, absent: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise InvalidBundle(str(folder), absent) from error
    except OSError as error:
        raise InvalidBundle(str(folder), f"{name} cannot be read ({error.strerror})") from error
