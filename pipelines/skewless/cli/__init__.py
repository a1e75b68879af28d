"""The commands of the `pipelines` extra, one file per group. A command imports what it needs when it runs."""

from __future__ import annotations

from importlib.util import find_spec

import typer

from skewless.cli import audit, data, drift, ingest, model, online_store, project, push, rollout
from skewless.runtime.feast_import import check_constructors_alone

for _needed in ("duckdb", "feast", "sqlalchemy"):
    if find_spec(_needed) is None:
        raise ModuleNotFoundError(f"the verbs of pipelines need {_needed}", name=_needed)

check_constructors_alone()
app = typer.Typer()
for _group in (project, data, ingest, push, model, rollout, online_store, audit, drift):
    app.add_typer(_group.verbs)
