"""The DAGs that every project has, a module each: `timetable` makes the DAG of one project. Tasks are written inside, since
they are that project's; each calls one step of the room that it belongs to.
"""
