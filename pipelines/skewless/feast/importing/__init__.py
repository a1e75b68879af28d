"""Brings what only Feast's own online store holds into tables and online rows of ours. A module reads each layout of Feast's
(`redis_layout`, `sqlite_layout`) as `former_rows`; `import_rows` compares them with the tables. It imports `proto_values`
and `view_decoder` of `skewless.feast`, and what is below that room.
"""
