"""The example's task: what is predicted, from which service, over which months."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SERVICE = "flight_delay_v1"
MODEL = "flight_delay"
SPINE = "flight_spine"
LABEL = "late"
TRAIN = datetime(2013, 2, 1, tzinfo=UTC)
VALIDATE = datetime(2013, 9, 1, tzinfo=UTC)
TEST = datetime(2013, 10, 1, tzinfo=UTC)
END = datetime(2014, 1, 1, tzinfo=UTC)
"""February to August trains, September validates, October to December tests; half-open windows of decision time."""

WINDOW = "212d,30d,92d"
"""The same, by how long each is."""

MIDNIGHT = timedelta(hours=5)
"""Midnight in New York, Eastern Standard Time, after midnight UTC."""

PARAMETERS: dict[str, float | int | str | bool] = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 31,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    # The same sums on any machine; and two threads that wait for each other lose to one where cores are shared.
    "num_threads": 1,
}
