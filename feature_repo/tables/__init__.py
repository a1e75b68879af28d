"""How the tables of the data folder are made; `skewless ingest` fills each `Table` of this module. Its modules import one
another, and nothing of the definitions.
"""

from . import flights

TABLES = flights.tables()
