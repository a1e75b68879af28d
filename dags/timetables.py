"""The DAGs of the project beside this folder; infra/docs/operate/airflow.md says what each does."""

from skewless.airflow import timetables

timetables(globals())
