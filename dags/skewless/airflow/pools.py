"""The pools of a project, by role.

Held by tests/airflow/test_timetables.py.
"""

POOLS = {"offline_store": 1, "online_store": 4, "training": 1}
"""How many slots the local Airflow gives each. One slot: tables are rewritten, and models trained, in turn; the slots of
the online store limit how many tasks write to it at once."""


def pool(project: str, role: str) -> str:
    """The name of a project's pool."""
    return f"{project}_{role}"
