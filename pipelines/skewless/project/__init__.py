"""A project on disk, opened: settings, registry, stores and state in one place. It imports `definitions`, `online` and
what is below them.
"""
