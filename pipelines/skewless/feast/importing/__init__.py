"""Brings what only Feast's own online store holds into tables and online rows of ours. A module reads each layout of Feast's
(`redis_layout`, `sqlite_layout`) as `former_rows`; `import_rows` compares them with the tables. It imports `proto_values`
of `skewless.feast`, `view_decoder` of `skewless.feast.online`, and what is below these rooms.
"""
