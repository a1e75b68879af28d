"""Resolves the Feast registry's URL independently of the working folder: `?plugin=skewless` in a database URL.

Feast resolves a relative SQLite path against the working folder, which `feast apply` changes, and a URL in
`feature_store.yaml` cannot be overridden from the environment. So that file says
`path: "sqlite:///registry.db?plugin=skewless"` and this plug-in of SQLAlchemy puts the registry of the
settings in its place, before the dialect is chosen, so the registry may be in PostgreSQL. A `FeatureStore` that is opened
by its path adds that path to the URL (`located`): its registry is its own project's from any working folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, CreateEnginePlugin, Engine, make_url

from skewless.contract.errors import SkewlessError
from skewless.runtime.settings import ProjectSettings
from skewless.runtime.store_file import of_settings
from skewless.state import sqlite

_REPO = "repo"


@dataclass(eq=False)
class ProjectMissing(SkewlessError):
    """No setting and no feature repository names the registry."""

    cwd: str

    def __str__(self) -> str:
        return (
            f"no feature_repo/feature_store.yaml upward of {self.cwd}, so it is unknown which registry is "
            "meant; change to the project's folder, or set SKEWLESS_STATE or SKEWLESS_REGISTRY_URL"
        )


def located(url: str, repo: Path) -> str:
    """The registry's URL with the definitions' folder, where this plug-in resolves it; any other as it is."""
    if not of_settings(url):
        return url
    return make_url(url).update_query_dict({_REPO: str(repo.absolute())}).render_as_string(hide_password=False)


class RegistryUrlPlugin(CreateEnginePlugin):
    """Replaces the URL by the settings' `registry_url`; the rest of the original URL is a placeholder."""

    def update_url(self, url: URL) -> URL:
        """The registry's URL; the folder of a SQLite file exists afterwards.

        Raises:
            BadSetting: an environment variable is wrong.
            ProjectMissing: no project here; a new, empty registry in an arbitrary folder would look like lost definitions.
        """
        repo = url.query.get(_REPO)
        settings = ProjectSettings.of(Path(str(repo))) if repo else ProjectSettings.read()
        if not settings.placed and "registry_url" not in settings.model_fields_set:
            raise ProjectMissing(str(Path.cwd()))
        registry = make_url(settings.registry_url)
        if registry.get_backend_name() == "sqlite" and registry.database:
            Path(registry.database).parent.mkdir(parents=True, exist_ok=True)
        return registry

    def engine_created(self, engine: Engine) -> None:
        sqlite.share(engine)
