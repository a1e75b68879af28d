"""The models that this process serves, and how it takes up new ones without a restart.

    <models>/<name>/<version>/    a bundle; immutable
    <models>/<name>/champion      the version that is served, as text; replaced atomically
    <models>/<name>/on_store_failure   `reject` (as without the file) or `defaults`: what to answer while the online
                                  store does not; with `defaults` every entity counts as not found

A champion is taken up when its bundle has proven itself and the online store means the same by its features. A bad
one never replaces a good one. One that is served and whose features come to mean something else stops answering.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from serving.bursts import Bursts
from serving.contract.bundle import CHAMPION, Bundle, open_bundle
from serving.contract.catalog import confirm, view_field
from serving.contract.errors import ContractMismatch, InvalidBundle, SkewlessError
from serving.errors import ModelNotReady, UnknownModel
from serving.explanation import Explanation
from serving.metrics import Metrics
from serving.predictor import Clock, Predictor
from serving.served_log import ServedLog
from serving.store import Store
from serving.tally import Tally

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
ON_STORE_FAILURE, REJECT, DEFAULTS = "on_store_failure", "reject", "defaults"
_TOLD = b'{"request_id":"%%b","model":"%b","version":"%b","served_at":"%%b","scores":%%b}'
_log = structlog.get_logger(__name__)
Seen = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Champion:
    """A model version that answers. `told` is the JSON that it answers with, but for request id, time and scores."""

    predictor: Predictor
    explanation: Explanation
    bursts: Bursts
    told: bytes
    defaults: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bundle that is to become champion: its files when it was opened, and nothing where it failed to prove itself."""

    files: Seen
    champion: Champion | None


@dataclass(frozen=True, slots=True)
class Slot:
    """What one name has: the champion that was taken up last, if any, and the `reason` why it does not answer.

    `refused` is why a newer champion is not taken up. Its bundle is opened again only after one of its files changed.
    """

    champion: Champion | None = None
    reason: str | None = "it was not looked at yet"
    refused: str | None = None
    candidate: Candidate | None = None

    @property
    def version(self) -> str | None:
        return self.champion.predictor.version if self.champion else None


class Parts(NamedTuple):
    """What a champion needs beside its bundle."""

    store: Store
    clock: Clock
    metrics: Metrics
    served_log: ServedLog


class Models:
    """All champions of a folder. `refresh` looks for changes; requests see the outcome whole, between two of them."""

    def __init__(self, folder: Path, parts: Parts, processor: Sequence[str], *, threads: int) -> None:
        self._folder, self._parts = folder, parts
        self._store, self._metrics = parts.store, parts.metrics
        self._processor, self._threads = tuple(processor), threads
        self._slots: dict[str, Slot] = {}

    @property
    def slots(self) -> Mapping[str, Slot]:
        """By model name, sorted."""
        return self._slots

    def champion(self, name: str) -> Champion:
        """The version of `name` that answers. Raises: UnknownModel, ModelNotReady."""
        slot = self._slots.get(name)
        if slot is None:
            raise UnknownModel(name)
        if slot.champion is None or slot.reason is not None:
            raise ModelNotReady(name, slot.reason or "it has no champion")
        return slot.champion

    async def refresh(self) -> None:
        """Take up what changed in the folder or in the store. Whatever is wrong with a model is kept in its slot."""
        names = await asyncio.to_thread(champions, self._folder)
        fresh = {name: await self._looked_at(name, self._slots.get(name, Slot())) for name in names}
        for name in self._slots.keys() - fresh.keys():
            _log.warning("model_removed", model=name)
            self._metrics.ready.labels(name).set(0)
        self._slots = fresh

    async def keep_fresh(self, every_s: float) -> None:
        """Refresh for ever. Raises nothing but asyncio.CancelledError."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 - the next look may go better; what is served stays
                _log.exception("models_refresh_failed", folder=str(self._folder))

    async def _looked_at(self, name: str, seen: Slot) -> Slot:
        slot = replace(seen, reason=await self._mismatch(seen))
        try:
            version = await asyncio.to_thread(champion_version, self._folder, name)
            defaults = await asyncio.to_thread(defaults_on_failure, self._folder / name)
            if version == slot.version:
                slot = replace(slot, refused=None, candidate=None)
            else:
                slot = await self._taken_up(name, version, slot)
            if slot.champion is not None and slot.champion.defaults != defaults:
                slot = replace(slot, champion=replace(slot.champion, defaults=defaults))
        except SkewlessError as error:
            slot = self._refuse(name, slot, str(error))
        except OSError as error:
            slot = self._refuse(name, slot, f"its files cannot be read ({type(error).__name__})")
        if slot.reason != seen.reason:
            _log.info("model_state", model=name, version=slot.version, ready=not slot.reason, reason=slot.reason)
        self._metrics.ready.labels(name).set(0 if slot.reason else 1)
        return slot

    async def _taken_up(self, name: str, version: str, slot: Slot) -> Slot:
        """The slot with its new champion, once that is proven and confirmed. Raises: OSError."""
        folder = self._folder / name / version
        files = await asyncio.to_thread(_seen, folder)
        if slot.candidate is None or slot.candidate.files != files:
            try:
                candidate = Candidate(files, await asyncio.to_thread(self._opened, folder))
            except SkewlessError as error:
                return replace(self._refuse(name, slot, str(error)), candidate=Candidate(files, None))
            slot = replace(slot, candidate=candidate)
        champion = slot.candidate.champion if slot.candidate else None
        if champion is None:
            return slot
        try:
            await self._confirm(champion)
        except SkewlessError as error:
            return self._refuse(name, slot, str(error))
        _log.info("champion_taken_up", model=name, version=version, exact=champion.predictor.bundle.exact)
        return Slot(champion, reason=None)

    def _opened(self, folder: Path) -> Champion:
        """A proven bundle, compiled. Raises: SkewlessError, OSError."""
        predictor = Predictor(_proven(folder, self._processor))
        tally = Tally(self._metrics, predictor.name, predictor.version, predictor.views)
        parts = self._parts
        bursts = Bursts(predictor, parts.store, parts.clock, tally, parts.served_log, threads=self._threads)
        told = _TOLD % (predictor.name.encode(), predictor.version.encode())
        return Champion(predictor, Explanation(predictor.plan), bursts, told)

    def _refuse(self, name: str, slot: Slot, reason: str) -> Slot:
        if reason != slot.refused:
            _log.error("champion_refused", model=name, keeps=slot.version, reason=reason)
            self._metrics.refusals.labels(name).inc()
        return replace(slot, refused=reason, reason=slot.reason if slot.champion else reason)

    async def _mismatch(self, slot: Slot) -> str | None:
        """Why the champion that is served may no longer answer; as before while the store is silent."""
        if slot.champion is None:
            return slot.reason
        try:
            await self._confirm(slot.champion)
        except ContractMismatch as error:
            return str(error)
        except SkewlessError:
            return slot.reason
        return None

    async def _confirm(self, champion: Champion) -> None:
        plan = champion.predictor.plan
        if not plan.views:
            return
        fields = [view_field(view.stored_as) for view in plan.views]
        entries = await self._store.catalog(plan.project, fields)
        try:
            confirm(plan, entries)
        except msgspec.MsgspecError:
            raise ContractMismatch(plan.name, ("the store's catalog does not parse",)) from None


def champions(folder: Path) -> list[str]:
    """The names below `folder` that have a champion, sorted."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if _NAME.fullmatch(p.name) and (p / CHAMPION).is_file())


def champion_version(folder: Path, name: str) -> str:
    """The version that `name`'s champion file names. Raises: InvalidBundle, OSError."""
    file = folder / name / CHAMPION
    version = file.read_text(encoding="utf-8", errors="replace").strip()
    if not _NAME.fullmatch(version):
        raise InvalidBundle(str(file), f"{version[:40]!r} is no version")
    return version


def defaults_on_failure(folder: Path) -> bool:
    """Whether a model's policy for a store that does not answer is `defaults`. Raises: InvalidBundle, OSError."""
    file = folder / ON_STORE_FAILURE
    policy = file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else REJECT
    if policy not in (REJECT, DEFAULTS):
        raise InvalidBundle(str(file), f"{policy[:40]!r} is no policy; write `{REJECT}` or `{DEFAULTS}`")
    return policy == DEFAULTS


def _seen(folder: Path) -> Seen:
    """What tells whether a bundle's files changed: names, times of change in nanoseconds, sizes."""
    found = [(str(folder), 0, 0)]
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        stat = path.stat()
        found.append((path.name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _proven(folder: Path, processor: tuple[str, ...]) -> Bundle:
    """A bundle that is what its folder says. Raises: SkewlessError, OSError."""
    try:
        bundle = open_bundle(folder, processor)
    except (SkewlessError, OSError):
        raise
    except Exception as error:  # one model's broken file may not stop the others
        raise InvalidBundle(str(folder), f"it does not open ({type(error).__name__})") from error
    if (bundle.manifest.name, bundle.manifest.version) != (folder.parent.name, folder.name):
        told = f"{bundle.manifest.name} {bundle.manifest.version}"
        raise InvalidBundle(str(folder), f"its manifest says that it is {told}")
    return bundle
