"""Functions of the contract, run where nothing can be opened, waited for, drawn or looked up: `FOLDER FAULT...`.

After everything was imported and run once, an audit hook refuses each event of files, processes and sockets, the process
may not have one more file descriptor (which binds what is written in C++ too), and clocks and random numbers raise.
A FAULT is a line of Python that is run there, too; an empty one is no fault.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import random
import resource
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import skewless.contract
from skewless.contract.model.bundle import Bundle, file_names, prove_bundle
from skewless.contract.model.manifest import MANIFEST, parse_manifest
from skewless.contract.plan_validation import plan_from_json
from skewless.contract.rollout.revisions import parse_revision_name, revision_name, undisputed
from skewless.contract.rollout.rollout import Canary, promote, rollout_from_json, start_canary
from skewless.contract.rollout.traffic_split import draw
from skewless.contract.state_folder import StateFolders
from skewless.contract.storage.part_encoding import encode_part
from skewless.contract.storage.part_files import part_name
from skewless.contract.timestamps import to_micros
from tests.tables.part_table import NOW, TABLE

REFUSED_EVENTS = (
    "open",
    "os.",
    "socket.",
    "subprocess.",
    "shutil.",
    "tempfile.",
    "glob.",
    "pathlib.",
    "fcntl.",
    "time.",
)
NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)


class ImpureCall(Exception):
    """The contract did what only a shell around it may do."""


def import_all() -> None:
    for module in pkgutil.walk_packages(skewless.contract.__path__, "skewless.contract."):
        importlib.import_module(module.name)


def decide(files: Mapping[str, bytes]) -> Bundle:
    """What the contract decides, from bytes, arrays and times."""
    manifest = parse_manifest(files[MANIFEST], "here")
    named = {name: files[name] for name in file_names(manifest, "here")}
    bundle = prove_bundle(manifest, named, "here", manifest.processor)
    plan = plan_from_json(files["plan.json"], name=manifest.name)
    assert plan.fingerprint == bundle.plan.fingerprint
    first = promote("1.0.0").apply(None)
    then = start_canary(manifest.name, Canary("2.0.0", 0.5)).apply(rollout_from_json(first.to_json(), "here"))
    assert then.canary
    draw(plan, manifest.name, then.canary)
    entry = parse_revision_name(revision_name(3), "here/00000003.json")
    assert entry
    assert undisputed([entry]) == {3: entry}
    assert part_name(to_micros(NOON), "a") > part_name(NOW - 1, "a")
    assert encode_part(TABLE, compact=True).size
    assert StateFolders(Path("/" + "r" * 200)).redis_socket.parent == Path("/tmp")
    return bundle


def guard() -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise ImpureCall("a clock or a random number")

    def hook(event: str, given: tuple[object, ...]) -> None:
        if event.startswith(REFUSED_EVENTS):
            raise ImpureCall(f"{event} {given[:1]}")

    for owner, name in (
        (os, "urandom"),
        (uuid, "uuid4"),
        *((time, name) for name in ("sleep", "time", "time_ns", "monotonic")),
    ):
        setattr(owner, name, refuse)
    for name in ("random", "getrandbits"):
        setattr(random, name, refuse)
        setattr(random.Random, name, refuse)
    random.uniform = refuse
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    sys.addaudithook(hook)


def outcome(files: Mapping[str, bytes], fault: str) -> str:
    planted = compile(fault, "fault", "exec")
    guard()
    try:
        exec(planted)
        assert decide(files).exact
    except (ImpureCall, OSError) as error:
        return f"refused: {error}"
    return "pure"


def main(folder: str, *faults: str) -> None:
    """Print what becomes of each fault, in a fork of its own; the guard cannot be taken off again."""
    files = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
    import_all()
    decide(files)
    for fault in faults:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            print(outcome(files, fault), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
