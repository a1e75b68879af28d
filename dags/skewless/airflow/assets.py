"""The assets by which a successful run of one DAG triggers others."""

from __future__ import annotations

from airflow.sdk import Asset

OFFLINE = Asset("skewless_offline_store", uri="skewless://offline_store", group="skewless")
"""The offline store holds a partition: every table has its rows."""

ONLINE = Asset("skewless_online_store", uri="skewless://online_store", group="skewless")
"""The online store holds everything that arrived by the end of a partition, in every feature view."""

DRIFT = Asset("skewless_drift", uri="skewless://drift", group="skewless")
"""A model's served inputs or scores in a partition differ from its training; the event's `models` names the models."""

SCORES = Asset("skewless_scores", uri="skewless://scores", group="skewless")
"""The champion's scores of a partition are in the folder of scores."""
