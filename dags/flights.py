"""The DAGs of the flights; infra/docs/operate/airflow.md says what each does."""

from skewless.airflow import timetables

timetables(globals())
