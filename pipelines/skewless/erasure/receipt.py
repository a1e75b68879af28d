"""Receipts of erasures: what was found where, and what could not be reached.

A receipt identifies its subject by a salted hash. It is written before anything is removed, so that the next run for the
same subject can continue a run that was killed.

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
    """A file that had rows about the subject; digests are SHA-256, `after` is null where the file no longer exists."""

    kind: str
    path: str
    rows: int
    before: str | None = None
    after: str | None = None


class ErasureReceipt(msgspec.Struct):
    """What an erasure found and removed. `status` is "done" only after nothing was left."""

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
    def has_findings(self) -> bool:
        """Whether any row was found so far."""
        return bool(self.files or self.online_entities or self.stream_rows)

    def record(self, files: Iterable[FileWithSubject], online_entities: int, stream_rows: int, root: Path) -> None:
        """Add findings to those of earlier searches, perhaps of a run that was killed. Paths are relative to `root`."""
        known = {file.path: file for file in self.files}
        for file in files:
            path = str(file.path.relative_to(root) if file.path.is_relative_to(root) else file.path)
            if path in known:
                known[path].rows = max(known[path].rows, file.rows)
            else:
                self.files.append(RewrittenFile(file.table.kind, path, file.rows, digest(file.path)))
        self.online_entities = max(self.online_entities, online_entities)
        self.stream_rows = max(self.stream_rows, stream_rows)

    def finish(self, at: datetime, root: Path) -> None:
        """Mark the erasure as done: nothing is left."""
        for file in self.files:
            file.after = digest(root / file.path)
        self.status, self.finished_at = "done", at.isoformat()

    def save(self, path: Path) -> None:
        write_file(path, msgspec.json.format(msgspec.json.encode(self)))

    def __str__(self) -> str:
        rows = sum(file.rows for file in self.files)
        return (
            f"{rows:,} rows of {len(self.files):,} files, {self.online_entities:,} entities online, "
            f"{self.stream_rows:,} rows of streams"
        )


def new_receipt(subject: ErasureSubject, not_reached: Sequence[str], now: datetime) -> ErasureReceipt:
    """An empty receipt of an erasure that starts `now`."""
    salt = secrets.token_bytes(16)
    return ErasureReceipt(
        id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        started_at=now.isoformat(),
        keys=sorted(subject.names),
        salt=salt.hex(),
        digest=subject.digest(salt),
        not_reached=list(not_reached),
    )


def unfinished_receipt(subject: ErasureSubject, folder: Path) -> ErasureReceipt | None:
    """The receipt in `folder` of an unfinished run for this subject; None where there is none."""
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        receipt = msgspec.json.decode(path.read_bytes(), type=ErasureReceipt)
        if receipt.status != "done" and receipt.digest == subject.digest(bytes.fromhex(receipt.salt)):
            return receipt
    return None
