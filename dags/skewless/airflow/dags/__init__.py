"""The DAGs that every project has, a module each: `timetable` makes the DAG of one project. Tasks are written inside, since
they are that project's; each calls one step of the room that it belongs to. These modules are read with every DAG file: at
their top they import Airflow and `skewless.airflow` alone.
"""
