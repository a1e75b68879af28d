"""A feature_store.yaml with our stores in the place of others; every other line stays as it is, comments included."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from skewless.contract.errors import SkewlessError

PLUG_INS: Mapping[str, Mapping[str, str]] = {
    # Relative paths of sources start at the repository, as they do in Feast.
    "offline_store": {"type": "skewless.feast.SkewlessOfflineStore", "data": "."},
    "online_store": {"type": "skewless.feast.SkewlessOnlineStore"},
    "batch_engine": {"type": "skewless.feast.SkewlessEngine"},
}
_ENGINES = ("batch_engine", "batch_engine_config")
"""Feast reads the engine under both names."""
_BARE = re.compile(r"[\w\"']+\s*:\s*(#.*)?$")
"""A key whose value is on the lines below it."""


@dataclass(eq=False)
class StoreFileUnchanged(SkewlessError):
    """A feature_store.yaml that cannot be changed line by line."""

    path: str
    reason: str

    def __str__(self) -> str:
        lines = "; ".join(
            f"{name}: {{{', '.join(f'{key}: {v}' for key, v in options.items())}}}"
            for name, options in PLUG_INS.items()
        )
        return f"{self.path} was not changed: {self.reason}; write into it by hand: {lines}"


@dataclass(frozen=True, slots=True)
class StoreFileChange:
    """What a feature_store.yaml was and becomes; `options` are its values before, without references to the environment."""

    before: str
    after: str
    options: Mapping[str, object]

    def store(self, name: str) -> dict[str, object]:
        """The options of a store before; empty where the file names none."""
        value = self.options.get(name)
        if isinstance(value, str):
            return {"type": value}
        return {str(key): option for key, option in value.items()} if isinstance(value, dict) else {}


def change(path: str, text: str) -> StoreFileChange:
    """The change of a file's text. Raises: StoreFileUnchanged."""
    before = _parsed(path, text)
    lines = text.splitlines()
    for name, options in PLUG_INS.items():
        if not _ours(before.get(name)):
            lines = _replaced(lines, name, options)
    if "batch_engine_config" in before:
        lines = _without(lines, "batch_engine_config")
    after = "\n".join(lines) + "\n"
    expected = {key: value for key, value in before.items() if key not in (*PLUG_INS, *_ENGINES)}
    changed = _parsed(path, after)
    if {key: value for key, value in changed.items() if key not in PLUG_INS} != expected:
        raise StoreFileUnchanged(path, "its lines do not say what they seem to")
    for name in PLUG_INS:
        if not _ours(changed.get(name)):
            raise StoreFileUnchanged(path, f"its {name} cannot be replaced")
    return StoreFileChange(text, text if after.rstrip() == text.rstrip() else after, before)


def _ours(store: object) -> bool:
    return isinstance(store, dict) and str(store.get("type", "")).startswith("skewless.feast.")


def _parsed(path: str, text: str) -> dict[str, object]:
    """Raises: StoreFileUnchanged."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StoreFileUnchanged(path, " ".join(str(error).split())) from None
    if not isinstance(content, dict) or "project" not in content:
        raise StoreFileUnchanged(path, "it is no feature_store.yaml: it names no project")
    return content


def _replaced(lines: Sequence[str], name: str, options: Mapping[str, str]) -> list[str]:
    """The lines with these options under a name; comments of the options before stay."""
    start, end = _block(lines, name)
    if start == len(lines):
        return [*lines, f"{name}:", *(f"  {key}: {value}" for key, value in options.items())]
    inside = lines[start + 1 : end]
    indent = next((re.match(r"\s*", line)[0] for line in inside if line.strip()), "  ") or "  "  # type: ignore[index]
    comments = [line for line in inside if line.lstrip().startswith("#")]
    return [
        *lines[:start],
        lines[start] if _BARE.match(lines[start]) else f"{name}:",
        *(f"{indent}{key}: {value}" for key, value in options.items()),
        *comments,
        *lines[end:],
    ]


def _without(lines: Sequence[str], name: str) -> list[str]:
    start, end = _block(lines, name)
    return [*lines[:start], *lines[end:]]


def _block(lines: Sequence[str], name: str) -> tuple[int, int]:
    """The first line of a key at the top and the line after its last; both the end of the file where it is not there."""
    start = next((n for n, line in enumerate(lines) if re.match(rf"[\"']?{name}[\"']?\s*:", line)), len(lines))
    end = min(start + 1, len(lines))
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " \t}]#-"):
        end += 1
    # Blank lines and comments at the margin belong to what follows.
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    return start, end
