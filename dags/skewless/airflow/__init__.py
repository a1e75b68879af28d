"""What the timetables in `dags/` are made of: windows, assets, options, connections. Only DAG files and `local_airflow`
import it.
"""
