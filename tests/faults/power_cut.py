"""A disk that loses power: a writer's file operations are recorded, and any of them that were not synced may be lost.

What POSIX promises, and no more: a file's content is on the disk as it was when that file was last synced, a name when
the folder that holds it was. Of what came later each name may be there or not, whatever their order was; a rename is
there as a whole or not; a file's later content is there, not, in part, or as zeros.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st

from skewless.files import exchange

CHANGES = ((os, "replace"), (os, "rename"), (os, "link"), (os, "unlink"), (os, "mkdir"), (os, "rmdir"))
CHANGES_AT_ONCE = (*CHANGES, (exchange, "exchange_names"))
Name = tuple[int, str]
"""A name by the inode of its folder."""


@dataclass(frozen=True)
class NameChange:
    """Names that one operation changes: the inode of each from then on, None for a name that goes."""

    names: Mapping[Name, int | None]


@dataclass(frozen=True)
class InodeSync:
    """An fsync of a file or folder."""

    inode: int


@dataclass(frozen=True)
class TreeState:
    """The folders' names and the files' content by inode."""

    folders: Mapping[int, Mapping[str, int]]
    files: Mapping[int, bytes]


@dataclass(frozen=True)
class RecordedStep:
    operation: NameChange | InodeSync
    after: TreeState


@dataclass
class Recording:
    """What a writer did below `root`, which was whole and on the disk before."""

    root: Path
    before: TreeState
    steps: list[RecordedStep] = field(default_factory=list)

    def draw_outcome(self, draw: Callable[[st.SearchStrategy[Any]], Any], length: int) -> TreeState:
        """What may be on the disk after a power cut behind the first `length` steps."""
        synced, pending = self._synced(length)
        now = self.steps[length - 1].after if length else self.before
        names = {folder: dict(held) for folder, held in synced.folders.items()}
        for change in pending:
            if draw(st.booleans()):
                _apply(names, change)
        files = {}
        for inode, content in now.files.items() | synced.files.items():
            old = synced.files.get(inode, b"")
            half = content[: len(content) // 2]
            files[inode] = draw(st.sampled_from([old, content, half, bytes(len(content))])) if content != old else old
        return TreeState(names, files | dict.fromkeys(synced.files.keys() - files.keys(), b""))

    def _synced(self, length: int) -> tuple[TreeState, list[NameChange]]:
        """What is on the disk in any case, and the changes of names that may be."""
        names = {folder: dict(held) for folder, held in self.before.folders.items()}
        files = dict(self.before.files)
        pending: list[NameChange] = []
        for step in self.steps[:length]:
            if isinstance(step.operation, NameChange):
                pending.append(step.operation)
                continue
            inode = step.operation.inode
            if inode in step.after.files:
                files[inode] = step.after.files[inode]
            for change in pending:
                _apply(names, NameChange({name: to for name, to in change.names.items() if name[0] == inode}))
            rest = [{name: to for name, to in change.names.items() if name[0] != inode} for change in pending]
            pending = [NameChange(some) for some in rest if some]
        return TreeState(names, files), pending


def _apply(folders: dict[int, dict[str, int]], change: NameChange) -> None:
    for (folder, name), inode in change.names.items():
        held = folders.setdefault(folder, {})
        if inode is None:
            held.pop(name, None)
        else:
            held[name] = inode


def lay_out(outcome: TreeState, root: int, folder: Path) -> None:
    """Make a real folder of what is on the disk."""
    folder.mkdir()
    for name, inode in outcome.folders.get(root, {}).items():
        if inode in outcome.files:
            (folder / name).write_bytes(outcome.files[inode])
        else:
            lay_out(outcome, inode, folder / name)


@contextmanager
def recorded(root: Path) -> Iterator[Recording]:
    """Record what is done to the files below `root` by operations of `os`, whoever calls them."""
    with ExitStack() as stack:
        recorder = _Recorder(root, stack)
        for owner, name in CHANGES_AT_ONCE:
            stack.enter_context(patch.object(owner, name, recorder.changing(getattr(owner, name))))
        stack.enter_context(patch.object(os, "fsync", recorder.syncing(os.fsync)))
        yield recorder.recording
        recorder.observe()


class _Recorder:
    """Compares the tree before and after each operation. A file that is made or written shows at the next one."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._root, self._stack = root, stack
        self._open, self._close = os.open, os.close
        self._kept: set[int] = set()
        self._now = self._look()
        self.recording = Recording(root, self._now)

    def changing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self.observe()
            answer = real(*given, **named)
            self.observe(at_once=True)
            return answer

        return call

    def syncing(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def call(handle: int) -> None:
            self.observe()
            real(handle)
            self.recording.steps.append(RecordedStep(InodeSync(os.fstat(handle).st_ino), self._now))

        return call

    def observe(self, *, at_once: bool = False) -> None:
        before, self._now = self._now, self._look()
        changes: dict[Name, int | None] = {}
        for folder in before.folders.keys() | self._now.folders.keys():
            old, new = before.folders.get(folder, {}), self._now.folders.get(folder, {})
            for name in old.keys() | new.keys():
                if old.get(name) != new.get(name):
                    changes[folder, name] = new.get(name)
        groups = [changes] if at_once and changes else [{name: to} for name, to in sorted(changes.items())]
        self.recording.steps += [RecordedStep(NameChange(group), self._now) for group in groups]

    def _look(self) -> TreeState:
        folders: dict[int, dict[str, int]] = {}
        files: dict[int, bytes] = {}
        for folder, _, names in os.walk(self._root):
            held = folders.setdefault(os.stat(folder).st_ino, {})  # noqa: PTH116
            for entry in os.scandir(folder):
                held[entry.name] = entry.inode()
                self._keep(entry.path, entry.inode())
            files |= {held[name]: Path(folder, name).read_bytes() for name in names}
        return TreeState(folders, files)

    def _keep(self, path: str, inode: int) -> None:
        """An inode that is open is not given to another file."""
        if inode not in self._kept:
            self._kept.add(inode)
            self._stack.callback(self._close, self._open(path, os.O_RDONLY))
