"""Each durable write of the house: a new content in the place of an old one, in a process that may be killed."""

from __future__ import annotations

import shutil
from pathlib import Path

from skewless.files.durable import (
    create_file,
    make_folder,
    new_folder,
    put_folder,
    replace_file,
    replace_folder,
    write_file,
)

Content = bytes | dict[str, bytes] | None
FILE, OLD_FILE = b"the new content", b"what was there"
FOLDER, OLD_FOLDER = {"a": b"new a", "b": b"new b"}, {"a": b"old a", "c": b"old c"}


def fill(folder: Path) -> None:
    for name, content in FOLDER.items():
        (folder / name).write_bytes(content)


def writes_file(path: Path) -> None:
    write_file(path, FILE)


def writes_cached_file(path: Path) -> None:
    write_file(path, FILE, durable=False)


def creates_file(path: Path) -> None:
    create_file(path, FILE)


def replaces_file(path: Path) -> None:
    with replace_file(path) as building, building.open("wb") as file:
        file.write(FILE[:3])
        file.write(FILE[3:])


def makes_folder(path: Path) -> None:
    with new_folder(path) as building:
        fill(building)


def replaces_folder(path: Path) -> None:
    with replace_folder(path) as building:
        fill(building)


def puts_folder(path: Path) -> None:
    building = path.with_name(".growing")
    shutil.rmtree(building, ignore_errors=True)
    make_folder(building)
    fill(building)
    put_folder(building, path)


WRITERS = [
    (writes_file, OLD_FILE), (creates_file, None), (replaces_file, OLD_FILE), (makes_folder, None),
    (replaces_folder, OLD_FOLDER), (puts_folder, OLD_FOLDER),
]  # fmt: skip


def by_name(writer: str, path: str) -> None:
    globals()[writer](Path(path))
