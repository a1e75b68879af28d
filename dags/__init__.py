"""WHEN data is made: Airflow timetables, one verb per task."""
