"""A project on disk: its settings, registry, stores and state, and the declarations of its `models.yaml`. It imports `definitions`, `online` and what is below them."""
