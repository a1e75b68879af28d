"""What the DAG files in `dags/` import: windows, assets, options, connections. Only DAG files and `local_airflow`
import it.
"""
