"""The registry of models: bundles and rollouts, in a folder or an object store. The one reader and the one writer.

    <registry>/<model>/<version>/                        a bundle; immutable
    <registry>/<model>/rollout/<revision>.json           a revision of the model's rollout; immutable

In a folder a revision is linked into place, so that of two who make one number the second fails and begins anew. An
object store gives us no such condition (pyarrow's does not): there each first claims the number by an empty
`<revision>-<nonce>.claim`, looks again, and writes `<revision>-<nonce>.json` only where nobody else has claimed or made
that number or a later one; of two who claim it the lesser nonce waits and the other begins anew. Listings are
consistent, and both claim before they look, so at most one goes on; what is read as a revision is never taken back. A
claim that stays for seconds is a dead writer's and is removed. A writer that stopped for so long between its look and
its revision could still make the number a second time: such a number counts for neither.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
from msgspec.structs import replace
from pyarrow import fs

from skewless.contract.errors import InvalidRollout, RegistryUnreadable, RolloutRefused, SkewlessError
from skewless.contract.model.manifest import MANIFEST
from skewless.contract.rollout.names import SANE_NAME
from skewless.contract.rollout.revisions import (
    RevisionEntry,
    claim_name,
    parse_revision_name,
    revision_name,
    undisputed,
)
from skewless.contract.rollout.rollout import Rollout, RolloutChange, RolloutStep, next_rollout, rollout_from_json
from skewless.files.durable import create_file
from skewless.registry.bundle_cache import BundleCache

ROLLOUT = "rollout"
_TRIES, _LOOKS = 40, 100
_LONGEST_PAUSE_S = 0.05
Seen = tuple[tuple[str, int, int], ...]
"""What tells whether a bundle's files changed: names, times of change in nanoseconds, sizes."""


class ModelRegistry:
    """`address` is a folder or a URL (`s3://bucket/models`); bundles from a URL are mirrored below `mirror`.

    Raises: RegistryUnreadable where the URL is none, and by each method where the storage does not answer.
    """

    def __init__(self, address: str | Path, mirror: Path) -> None:
        self.address = str(address)
        self.is_folder = "://" not in self.address
        self._copies = BundleCache(mirror)
        with self._readable():
            if self.is_folder:
                self._files, self._root = fs.LocalFileSystem(), self.address
            else:
                self._files, self._root = fs.FileSystem.from_uri(self.address)

    def models(self) -> list[str]:
        """The models that have a rollout, sorted."""
        return [name for name in self._folders(self._root) if undisputed(self._entries(name))]

    def versions(self, model: str) -> list[str]:
        """The versions of a model that have files, sorted as texts."""
        return [name for name in self._folders(f"{self._root}/{model}") if name != ROLLOUT]

    def rollout(self, model: str, known: Rollout | None = None) -> Rollout | None:
        """The newest revision; None where there is none. Not read again where `known` is it. Raises: InvalidRollout."""
        return self._newest(self._entries(model), known)

    def history(self, model: str) -> list[Rollout]:
        """All revisions, oldest first; invalid ones are left out once a later one is valid. Raises: InvalidRollout."""
        entries = [entry for _, entry in sorted(undisputed(self._entries(model)).items())]
        return [*self._valid(entries[:-1]), *map(self._read, entries[-1:])]

    def change(self, model: str, step: RolloutStep, *, by: str, at: datetime, reason: str) -> Rollout:
        """Take a step from the newest revision, whatever that is by now; the revision that holds afterwards.

        A step that changes nothing makes no revision, unless it mends an invalid one. Raises: RolloutRefused, InvalidRollout.
        """
        told = RolloutChange(by=by, at=at.isoformat(timespec="seconds"), what=step.what, reason=reason)
        for _ in range(_TRIES):
            base = self._settled(model)
            now, valid = self._base(base, step)
            then = next_rollout(model, now, step)
            if valid and now is not None and then == now:
                return now
            number = max((entry.number for entry in base), default=0) + 1
            nonce = "" if self.is_folder else uuid4().hex[:8]
            rollout = replace(then, revision=number, change=told, nonce=nonce)
            if self._added(model, rollout):
                return rollout
            time.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311 - to miss each other
        raise RolloutRefused(model, "others kept changing it meanwhile; try again")

    def seen(self, model: str, version: str) -> Seen:
        """The files of a bundle as they are now."""
        with self._readable():
            selector = fs.FileSelector(f"{self._root}/{model}/{version}", allow_not_found=True)
            infos = [info for info in self._files.get_file_info(selector) if info.type == fs.FileType.File]
        return tuple(sorted((info.base_name, info.mtime_ns or 0, info.size) for info in infos))

    def bundle(self, model: str, version: str) -> Path:
        """The folder of a bundle on this machine, fetched where it is not; then copies that nobody needs are removed."""
        if self.is_folder:
            return Path(self._root) / model / version
        seen = self.seen(model, version)
        copy = self._copies.place(_digest(seen), model, version)
        if copy.is_dir():
            self._copies.used(copy)
        elif seen:
            with self._readable():
                self._copies.fetch(
                    copy, [name for name, _, _ in seen], lambda name: self._content(model, version, name)
                )
            self._prune(model, copy)
        return copy

    def file(self, model: str, version: str, name: str) -> bytes | None:
        """A file of a bundle, read where it lies; None where it is not."""
        with self._readable():
            info = self._files.get_file_info(f"{self._root}/{model}/{version}/{name}")
            return self._content(model, version, name) if info.type == fs.FileType.File else None

    def every(self, name: str) -> Iterator[tuple[str, bytes]]:
        """The file of that name of every bundle there is, of models without a rollout too, and the bundle's model."""
        for model in self._folders(self._root):
            for version in self.versions(model):
                content = self.file(model, version, name)
                if content is not None:
                    yield model, content

    def add(self, model: str, version: str, bundle: Path) -> None:
        """Put a bundle's files there, its manifest last; nothing where the registry is that folder."""
        if self.is_folder:
            return
        names = sorted((file.name for file in bundle.iterdir()), key=lambda name: (name == MANIFEST, name))
        with self._readable():
            for name in names:
                self._write(f"{self._root}/{model}/{version}/{name}", (bundle / name).read_bytes())

    def remove(self, model: str, version: str) -> None:
        """Remove a bundle's files, its manifest first, so that nobody opens what is left of it."""
        self._remove_folder(f"{self._root}/{model}/{version}", MANIFEST)

    def remove_model(self, model: str) -> None:
        """Remove all bundles of a model, then its rollouts."""
        for version in self.versions(model):
            self.remove(model, version)
        self._remove_folder(f"{self._root}/{model}/{ROLLOUT}")
        self._remove_folder(f"{self._root}/{model}")

    def _remove_folder(self, path: str, first: str = "") -> None:
        with self._readable():
            if self.is_folder and Path(path).is_symlink():
                Path(path).unlink()  # what it points to is not ours
                return
            if first and self._files.get_file_info(f"{path}/{first}").type == fs.FileType.File:
                self._files.delete_file(f"{path}/{first}")
            if self._files.get_file_info(path).type == fs.FileType.Directory:
                self._files.delete_dir(path)

    def _folders(self, path: str) -> list[str]:
        with self._readable():
            infos = self._files.get_file_info(fs.FileSelector(path, allow_not_found=True))
        found = (info.base_name for info in infos if info.type == fs.FileType.Directory)
        return sorted(name for name in found if SANE_NAME.fullmatch(name))

    def _entries(self, model: str) -> list[RevisionEntry]:
        with self._readable():
            selector = fs.FileSelector(f"{self._root}/{model}/{ROLLOUT}", allow_not_found=True)
            infos = self._files.get_file_info(selector)
        found = (parse_revision_name(info.base_name, info.path) for info in infos)
        return [entry for entry in found if entry is not None]

    def _settled(self, model: str) -> list[RevisionEntry]:
        """The revisions when nobody claims to make another; claims that stay are removed."""
        for _ in range(_LOOKS):
            found = self._entries(model)
            claims = [entry for entry in found if not entry.is_revision]
            if not claims:
                return found
            time.sleep(_LONGEST_PAUSE_S)
        for claim in claims:
            self._remove(claim)
        return [entry for entry in found if entry.is_revision]

    def _newest(self, entries: Sequence[RevisionEntry], known: Rollout | None = None) -> Rollout | None:
        found = undisputed(entries)
        if not found:
            return None
        newest = found[max(found)]
        if known is not None and (known.revision, known.nonce) == newest[:2]:
            return known
        return self._read(newest)

    def _base(self, entries: Sequence[RevisionEntry], step: RolloutStep) -> tuple[Rollout | None, bool]:
        """The rollout that a step changes, and whether it is the newest revision. Raises: InvalidRollout."""
        try:
            return self._newest(entries), True
        except InvalidRollout:
            if not step.mends:
                raise
        valid = self._valid([entry for _, entry in sorted(undisputed(entries).items())])
        return (valid[-1] if valid else None), False

    def _valid(self, entries: Sequence[RevisionEntry]) -> list[Rollout]:
        found = []
        for entry in entries:
            with suppress(InvalidRollout):
                found.append(self._read(entry))
        return found

    def _read(self, entry: RevisionEntry) -> Rollout:
        with self._readable(), self._files.open_input_stream(entry.path) as stream:
            content = stream.read()
        return replace(rollout_from_json(content, entry.path), revision=entry.number, nonce=entry.nonce)

    def _added(self, model: str, rollout: Rollout) -> bool:
        """Whether a revision is there now, the only one of its number."""
        folder = f"{self._root}/{model}/{ROLLOUT}"
        if self.is_folder:
            with self._readable():
                return create_file(Path(folder) / revision_name(rollout.revision), rollout.to_json())
        place = f"{folder}/{revision_name(rollout.revision, rollout.nonce)}"
        claim = RevisionEntry(
            rollout.revision,
            rollout.nonce,
            f"{folder}/{claim_name(rollout.revision, rollout.nonce)}",
            is_revision=False,
        )
        with self._readable():
            self._write(claim.path, b"")
            try:
                alone = self._alone(model, claim)
                if alone:
                    self._write(place, rollout.to_json())
            finally:
                self._remove(claim)
        return alone

    def _alone(self, model: str, claim: RevisionEntry) -> bool:
        """Whether nobody else makes the number or a later one; those with a greater nonce are waited for."""
        for _ in range(_LOOKS):
            later = {entry for entry in self._entries(model) if entry.number >= claim.number}
            others = later - {claim}
            if claim not in later or any(entry.is_revision or entry.nonce < claim.nonce for entry in others):
                return False
            if not others:
                return True
            time.sleep(_LONGEST_PAUSE_S)
        return False

    def _remove(self, claim: RevisionEntry) -> None:
        with suppress(OSError):  # it is gone, or whoever comes next removes it
            self._files.delete_file(claim.path)

    def _write(self, path: str, content: bytes) -> None:
        """An object appears when it is closed, whole."""
        with self._files.open_output_stream(path) as stream:
            stream.write(content)

    def _content(self, model: str, version: str, name: str) -> bytes:
        with self._files.open_input_stream(f"{self._root}/{model}/{version}/{name}") as stream:
            content: bytes = stream.read()
        return content

    def _prune(self, model: str, fetched: Path) -> None:
        with suppress(SkewlessError, OSError):  # the next fetch does it
            rollout = self.rollout(model)
            if rollout is not None:
                self._copies.prune(model, {*rollout.named, fetched.name}, fetched.stat().st_mtime)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise RegistryUnreadable(
                self.address, str(error).partition("\n")[0][:200] or type(error).__name__
            ) from error


def _digest(seen: Seen) -> str:
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]
