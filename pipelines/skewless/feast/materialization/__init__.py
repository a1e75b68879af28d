"""Feast's materialization: its engine, and the stored outputs of on-demand views. This room imports the stores and retrievals of
`skewless.feast`.
"""
