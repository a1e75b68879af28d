"""Where Feast's store is: one server, a cluster, sentinels, a file; and the secrets that it takes."""

from __future__ import annotations

import dataclasses

import pytest

from skewless.feast.importing.former_rows import FormerStoreUnreachable
from skewless.project.migration.former_store import FormerSecretMissing, FormerStoreUnknown
from skewless.sdk import BadArgument
from tests.feast.importing.former_repository import IDS, FormerRepository, counts, imported, served_by_feast, values


@pytest.mark.parametrize("kind", ["redis-3"])
@pytest.mark.parametrize("former", ["cluster", "sentinel"])
def test_a_cluster_and_sentinels_are_read(
    repository: FormerRepository, request: pytest.FixtureRequest, server: str, former: str
):
    store = "  type: redis\n  redis_type: redis_{}\n  connection_string: {}\n".format
    if former == "cluster":
        cluster = request.getfixturevalue("redis_cluster")
        text = store("cluster", cluster.url.rpartition("/")[2])
    else:
        watched = request.getfixturevalue("redis_sentinel")
        hosts, service = watched.url.removeprefix("redis+sentinel://").split("/")[:2]
        text = store("sentinel", hosts) + f"  sentinel_master: {service}\n"
    elsewhere = dataclasses.replace(repository, online_store=text)
    before = served_by_feast(elsewhere)
    elsewhere.move()
    done = imported(elsewhere, remove=True)
    assert counts(done) == {"drivers": (3, 3, 0), "pairs": (2, 1, 0)}
    assert "9 removed from there" in str(done)
    assert values(elsewhere.feast(), IDS) == before, f"from our store at {server}"
    assert counts(imported(elsewhere)) == {"drivers": (0, 0, 0), "pairs": (0, 0, 0)}


@pytest.mark.parametrize("kind", ["redis-3"])
def test_the_store_is_named_by_a_text_and_secrets_by_variables(
    repository: FormerRepository, monkeypatch: pytest.MonkeyPatch, server: str
):
    served_by_feast(repository)
    repository.move()
    place = server.removeprefix("redis://").partition("/")[0]
    assert imported(repository, store=place, view="drivers").result.imported == 3
    with pytest.raises(BadArgument, match="name a variable"):
        imported(repository, store=f"{place},password=hunter2")
    with pytest.raises(BadArgument, match="changes nothing"):
        imported(repository, dry_run=True, remove=True)
    monkeypatch.delenv("FORMER_PASSWORD")
    with pytest.raises(FormerSecretMissing, match="FORMER_PASSWORD, which is not set"):
        imported(repository)
    monkeypatch.setenv("FORMER_PASSWORD", "hunter2")
    with pytest.raises(FormerStoreUnreachable) as refused:
        imported(repository)
    assert "refuses the password" in str(refused.value)
    with pytest.raises(FormerStoreUnreachable) as absent:
        imported(repository, store="127.0.0.1:9,password=${FORMER_PASSWORD}")
    assert "hunter2" not in str(refused.value) + str(absent.value)
    with pytest.raises(FormerStoreUnreachable, match=r"no\.db"):
        imported(repository, store="no.db")
    (repository.folder / "feature_store.yaml.before-skewless").unlink()
    with pytest.raises(FormerStoreUnknown, match=r"give as `store` .* host:port"):
        imported(repository)
