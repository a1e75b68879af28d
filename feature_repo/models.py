"""The models: what each predicts, from which service and rows, over which windows, and how it is trained."""

from datetime import date

from skewless.project import LightGbm, Model, Windows

flight_delay = Model(
    name="flight_delay",
    service="flight_delay_v1",
    spine="flight_spine",
    label="late",
    label_known_at="label_known_at",
    # February to August trains, September validates, October to December tests.
    windows=Windows.between(
        train=date(2013, 2, 1), validate=date(2013, 9, 1), test=date(2013, 10, 1), end=date(2014, 1, 1)
    ),
    learner=LightGbm(
        objective="binary",
        learning_rate=0.03,
        num_leaves=31,
        min_data_in_leaf=200,
        feature_fraction=0.6,
        bagging_fraction=0.8,
        bagging_freq=1,
        lambda_l2=10.0,
        # The same sums on any machine; and two threads that wait for each other lose to one where cores are shared.
        num_threads=1,
    ),
)
