"""Reads of Feast's SDK from the online store: rows decoded by compiled definitions, answered as columns. This room is imported by the
stores of `skewless.feast`, and imports `proto_values` and `errors` of it.
"""
