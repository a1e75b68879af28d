"""A project on disk, opened: settings, registry, stores and state in one place, and what its `models.yaml` declares. It
imports `definitions`, `online` and what is below them.
"""
