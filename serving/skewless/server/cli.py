"""The command line: `skewless`, with the verbs of the base install and those of each installed extra.

An extra registers its verbs as a Typer app under the entry-point group `skewless.verbs`, named like the extra; serving
imports none of it. A verb imports its module when it runs, so that `skewless --help` stays fast.
"""

from __future__ import annotations

import errno
import gc
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated

import typer

from skewless.contract.errors import SkewlessError

GROUP = "skewless.verbs"
TROUBLE = 2
"""The exit status of a verb that could not do its work, and of a command line that does not parse."""
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
"""The errors of a disk that is full or not writable."""

_COLLECT_AFTER = 20_000
"""Objects between two garbage collections. A verb begins with imports, whose objects all stay: at Python's own 700, a tenth
of a short verb's time would be a search for garbage among them. The server has a number of its own.
"""

# The verbs of the base install: `@verbs.command()` above a function adds one.
verbs = typer.Typer()


@dataclass(slots=True)
class CliInvocation:
    """The options before the verb."""

    debug: bool = False


@verbs.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: SKEWLESS_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. Default: SKEWLESS_PORT.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes. Default: SKEWLESS_WORKERS.")] = None,
) -> None:
    """Answer predictions over HTTP until Ctrl-C."""
    from skewless.server.settings import ServerSettings
    from skewless.settings.process_environment import share_metrics

    share_metrics(None)
    # Only now, since it imports prometheus-client.
    from skewless.server.api.server import run

    options = {"host": host, "port": port, "workers": workers}
    run(ServerSettings.read(**{name: value for name, value in options.items() if value is not None}))


def main() -> None:
    """Run the command line. Exit status 1: the verb did its work and reports a finding (a difference, drift, no better
    model). 2: it could not do its work; an error of ours, or of the disk, is one line on stderr.
    """
    gc.set_threshold(_COLLECT_AFTER)
    app, absent = assemble(entry_points(group=GROUP))
    invocation = CliInvocation()
    try:
        app(obj=invocation)
    except SystemExit as exit_:
        if exit_.code == TROUBLE and absent:
            typer.echo(absent, err=True)
        raise
    except Exception as error:  # noqa: BLE001 - a scheduler must not take any error for exit status 1
        message = _message(error)
        if message and not invocation.debug:
            typer.secho(f"error: {'; '.join(message.splitlines())}", fg=typer.colors.RED, err=True)
        else:
            traceback.print_exc()
        sys.exit(TROUBLE)


def _message(error: Exception) -> str:
    """The message of an error that the user can mend; empty for other errors."""
    if isinstance(error, SkewlessError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"{error.filename or 'the disk'}: {error.strerror}; mend that, and run this again"
    return ""


def assemble(points: Iterable[EntryPoint]) -> tuple[typer.Typer, str]:
    """The application, and a hint about the extras whose verbs are missing (empty where none are)."""
    parts, missing = [verbs], []
    for point in points:
        try:
            parts.append(point.load())
        except ModuleNotFoundError:
            missing.append(point.name)
    absent = f"Not installed, with its verbs: pip install 'skewless[{','.join(missing)}]'" if missing else ""
    app = typer.Typer(
        name="skewless",
        help="A feature store whose online values are provably the training values.",
        # Typer would take the brackets for markup.
        epilog=absent.replace("[", r"\["),
        no_args_is_help=True,
        add_completion=False,
        # Its tracebacks show local variables, and those may hold passwords.
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for part in parts:
        app.add_typer(part)
    return app, absent


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"skewless {version('skewless')}")
        raise typer.Exit


def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    context.obj.debug = debug
