"""Receipts of erasures: what was found where, and what cannot be reached.

A receipt knows its subject by a salted digest. It is on the disk before anything is removed, so that a run that was
killed is found by the next one for the same subject.

Held by tests/erasure/test_erase.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from skewless.erasure.parquet_rows import FileWithSubject, digest
from skewless.erasure.subject import ALGORITHM, ErasureSubject
from skewless.files.durable import write_file


class RewrittenFile(msgspec.Struct):
    """A file that held rows about the subject; digests are SHA-256, `after` null where the file is gone by now."""

    kind: str
    path: str
    rows: int
    before: str | None = None
    after: str | None = None


class ErasureReceipt(msgspec.Struct):
    """What an erasure found and removed. `done` only after nothing was left."""

    id: str
    started_at: str
    keys: list[str]
    salt: str
    digest: str
    algorithm: str = ALGORITHM
    status: str = "running"
    finished_at: str | None = None
    files: list[RewrittenFile] = []
    online_entities: int = 0
    stream_rows: int = 0
    not_reached: list[str] = []

    @property
    def noted(self) -> bool:
        """Whether anything was found yet."""
        return bool(self.files or self.online_entities or self.stream_rows)

    def note(self, files: Iterable[FileWithSubject], online_entities: int, stream_rows: int, root: Path) -> None:
        """What is found joins what was found before, perhaps by a run that was killed. Paths start at `root`."""
        known = {one.path: one for one in self.files}
        for one in files:
            path = str(one.path.relative_to(root) if one.path.is_relative_to(root) else one.path)
            if path in known:
                known[path].rows = max(known[path].rows, one.rows)
            else:
                self.files.append(RewrittenFile(one.table.kind, path, one.rows, digest(one.path)))
        self.online_entities = max(self.online_entities, online_entities)
        self.stream_rows = max(self.stream_rows, stream_rows)

    def finish(self, at: datetime, root: Path) -> None:
        """Nothing is left."""
        for one in self.files:
            one.after = digest(root / one.path)
        self.status, self.finished_at = "done", at.isoformat()

    def save(self, path: Path) -> None:
        write_file(path, msgspec.json.format(msgspec.json.encode(self)))

    def __str__(self) -> str:
        rows = sum(one.rows for one in self.files)
        return (
            f"{rows:,} rows of {len(self.files):,} files, {self.online_entities:,} entities online, "
            f"{self.stream_rows:,} rows of streams"
        )


def new_receipt(subject: ErasureSubject, not_reached: Sequence[str], now: datetime) -> ErasureReceipt:
    """An empty one, of an erasure that begins `now`."""
    salt = secrets.token_bytes(16)
    return ErasureReceipt(
        id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        started_at=now.isoformat(),
        keys=sorted(subject.names),
        salt=salt.hex(),
        digest=subject.digest(salt),
        not_reached=list(not_reached),
    )


def open_receipt(subject: ErasureSubject, folder: Path) -> ErasureReceipt | None:
    """The receipt in `folder` of a run for this subject that was cut short."""
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        receipt = msgspec.json.decode(path.read_bytes(), type=ErasureReceipt)
        if receipt.status != "done" and receipt.digest == subject.digest(bytes.fromhex(receipt.salt)):
            return receipt
    return None
