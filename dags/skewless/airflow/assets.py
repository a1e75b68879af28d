"""The assets that tie the DAGs together: what a successful run says to those that wait for it."""

from __future__ import annotations

from airflow.sdk import Asset

OFFLINE = Asset("skewless_offline_store", uri="skewless://offline_store", group="skewless")
"""The offline store holds a partition: every table has its rows."""

ONLINE = Asset("skewless_online_store", uri="skewless://online_store", group="skewless")
"""The online store holds everything that arrived by the end of a partition, in every feature view."""

DRIFT = Asset("skewless_drift", uri="skewless://drift", group="skewless")
"""What a model was served in a partition is no longer what it was trained on; the event's `models` say of which."""

SCORES = Asset("skewless_scores", uri="skewless://scores", group="skewless")
"""The champion's scores of a partition are in the folder of scores."""
